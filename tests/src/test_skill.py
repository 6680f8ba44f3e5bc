"""Which questions are spatial, and which ask to read: labelled by hand, then matched."""

import pytest

from feature_atlas.skill import OCR, SPATIAL, Skill, matched_rule

SPATIAL_QUESTIONS = [
    # the tiny world
    "Is the red circle above the blue square?",
    "Is the red circle left of the blue object?",
    "Is the green star right of the black cross?",
    "Is the yellow object below the cyan diamond?",
    "Is the purple triangle next to the orange circle?",
    "Is the red circle far from the blue square?",
    "The red circle is left of the blue square.",
    # VQAv2
    "What is to the left of the laptop?",
    "What color is the car on the right?",
    "Which hand is the man using, left or right?",
    "What is the woman holding in her left hand?",
    "What is the person on the far left wearing?",
    "What is in the upper right corner of the picture?",
    "Is there any food left on the left plate?",
    "Is the boy under 10 years old on the left?",
    "Is the light on the left-hand side green?",
    "Who is behind the batter?",
    "What is in front of the building?",
    "What is on top of the refrigerator?",
    "What is under the table?",
    "Is the dog underneath the bench?",
    "What is between the two beds?",
    "What is hanging above the sink?",
    "What color is the second bus from the left?",
    "Which animal is closest to the camera?",
    "What is in the background?",
    "What is inside the bowl?",
    "What is around the dog's neck?",
    "What surrounds the zebra?",
    "Which way is the cat facing?",
    "Is the truck turning right?",
    "On which side of the road is the car parked?",
    "What is at the bottom of the sign?",
    # VSR statements
    "The cat is at the right side of the laptop.",
    "The person is across from the cake.",
    "The cow is far away from the train.",
    "The bench is beside the dog.",
    "The bus is facing away from the car.",
]

OCR_QUESTIONS = [
    # the tiny world
    "What does the sign say?",
    "Does the sign say k?",
    "What letter is on the sign?",
    # VQAv2
    "What does the sign on the left say?",
    "What does the clock read?",
    "What is written on the wall?",
    "What number is on the jersey?",
    "What is the number on the bus?",
    "What is the license plate number?",
    "What brand is the laptop?",
    "What is the name of the street?",
    "What word is printed on the shirt?",
    "What company owns the truck?",
    "What's on the street sign?",
    "What time does the clock say?",
    "Can you read the sign?",
    "What does the license plate say?",
]

NEITHER = [
    # the tiny world
    "Is there a red circle?",
    "Is the red object a circle?",
    "How many circles are there?",
    "What color is the circle?",
    "What shape is the red object?",
    "Is there a sign?",
    "Where is the red circle?",
    "Describe the image.",
    "Describe the positions of objects in the image.",
    # left as what remains, or to leave
    "How many slices of pizza are left?",
    "How much is left of the cake?",
    "Is there any food left on the plate?",
    "Who left the toilet seat up?",
    "Are those leftovers?",
    "Is the batter left handed?",
    # right as correct
    "Is this the right way to hold a racket?",
    "Is it raining right now?",
    "Does the pedestrian have the right of way?",
    "Is he alright?",
    # measures, states, scenes
    "Is the boy under 10 years old?",
    "Is the building under construction?",
    "Is the temperature below freezing?",
    "What is the difference between the two photos?",
    "Was this photo taken outside?",
    "Is it sunny outside?",
    "Besides the cat, what animal is shown?",
    "Do you understand this?",
    # mention a sign, a number or reading without asking to read
    "What color is the sign?",
    "What shape is the street sign?",
    "How many signs are there?",
    "What is the number of people shown?",
    "What time of day is it?",
    "What does the woman like to read?",
    "What is the man reading?",
    "Would you say this is a busy street?",
    "What is the name of the animal?",
    "What does the man have on his head?",
]


@pytest.mark.parametrize("question", SPATIAL_QUESTIONS)
def test_questions_that_name_a_relation_are_spatial(question: str) -> None:
    assert matched_rule(SPATIAL, question) in SPATIAL.patterns


@pytest.mark.parametrize("question", OCR_QUESTIONS)
def test_questions_answered_by_reading_are_ocr(question: str) -> None:
    assert matched_rule(OCR, question) in OCR.patterns


@pytest.mark.parametrize("question", NEITHER)
def test_look_alikes_are_neither(question: str) -> None:
    assert (matched_rule(SPATIAL, question), matched_rule(OCR, question)) == (None, None)


@pytest.mark.parametrize("question", [q for q in SPATIAL_QUESTIONS if q not in OCR_QUESTIONS])
def test_spatial_questions_do_not_ask_to_read(question: str) -> None:
    assert matched_rule(OCR, question) is None


def test_the_rule_that_is_kept_is_the_telling_one() -> None:
    assert matched_rule(SPATIAL, "Is it in front of or under the car?") == "in front of"
    assert matched_rule(SPATIAL, "Is the cup on the right of the plate?") == "(?:left|right) of"


def test_case_and_spaces_make_no_difference() -> None:
    assert matched_rule(SPATIAL, "  WHAT is  in\nfront of HIM?") == "in front of"


def test_a_question_type_counts_whatever_the_words() -> None:
    assert matched_rule(OCR, "Which one is it?", "what brand") == "question_type: what brand"
    assert matched_rule(OCR, "Which one is it?", "what color is the") is None


def test_neutral_prompts_do_not_ask_for_their_own_skill() -> None:
    for skill in (SPATIAL, OCR):
        assert [matched_rule(skill, prompt) for prompt in skill.neutral_prompts] == [None] * len(
            skill.neutral_prompts
        )


def test_a_skill_of_ones_own_can_come_from_yaml() -> None:
    counting = Skill("counting", patterns=["how many"], question_types=["number"])  # type: ignore[arg-type]

    assert matched_rule(counting, "How many dogs are there?") == "how many"
    assert hash(counting) == hash(Skill("counting", ("how many",), (), ("number",)))


def test_an_excluded_phrase_does_not_silence_the_rest_of_the_question() -> None:
    drinks = Skill("drinks", patterns=("water",), exclude=("under water",))

    assert matched_rule(drinks, "Is the fish under water?") is None
    assert matched_rule(drinks, "Is the fish under water or in a water bottle?") == "water"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "'mine' has neither patterns nor question_types"),
        ({"patterns": ("(left",)}, r"'\(left' of skill 'mine' is no regular expression"),
        ({"patterns": ("left",), "exclude": ("(?:up)?",)}, "matches the empty text"),
    ],
)
def test_a_skill_that_cannot_work_is_refused(
    fields: dict[str, tuple[str, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Skill("mine", **fields)
