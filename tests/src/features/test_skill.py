"""Which questions ask for a skill that ships: labelled by hand, then matched."""

from pathlib import Path

import pytest

from feature_atlas.etl.config.skill_files import (
    define_skills,
    definition_of,
    read_skill,
    shipped_skills,
    skill_from,
)
from feature_atlas.features.skill import Skill, has_look_alike, has_skill_word, matched_rule

SHIPPED = shipped_skills()
SPATIAL, OCR = SHIPPED["spatial"], SHIPPED["ocr"]

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

LOCATION_QUESTIONS = [
    "Where is the red circle?",  # the tiny world
    "Where are the zebras standing?",
    "Where was this picture taken?",
    "Where's the dog?",
    "What room is this?",
    "In what room was the photo taken?",
    "Where do you throw away the garbage?",
]

COUNTING_QUESTIONS = [
    "How many circles are there?",  # the tiny world
    "How many objects are there?",
    "How many people are in the picture?",
    "How many slices of pizza are left?",
    "What is the number of people shown?",
    "What's the total number of buses?",
    "Can you count the sheep?",
]

COLOUR_QUESTIONS = [
    "What color is the circle?",  # the tiny world
    "What colour are the walls?",
    "What is the color of the man's shirt?",
    "Which color shirt is the boy wearing?",
    "Are the two cats the same color?",
    "What two colors are on the sign?",
]

OTHER_LOOK_ALIKES = [
    "Is the red object a circle?",
    "Is there a red circle?",
    "How many years old is the boy?",
    "How many hours until noon?",
    "How many miles to the city?",
    "How many different colors are there?",
    "Is this photo in color?",
    "Is the picture black and white or color?",
    "Is he wearing a colorful shirt?",
    "Is this a place where you can swim?",
    "Is there a number on the train?",
    "What does the counter look like?",
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


@pytest.mark.parametrize(
    ("name", "questions"),
    [
        ("location", LOCATION_QUESTIONS),
        ("counting", COUNTING_QUESTIONS),
        ("colour", COLOUR_QUESTIONS),
    ],
)
def test_each_shipped_skill_finds_its_questions_and_none_of_the_look_alikes(
    name: str, questions: list[str]
) -> None:
    found = [question for question in questions if matched_rule(SHIPPED[name], question)]
    wrong = [question for question in OTHER_LOOK_ALIKES if matched_rule(SHIPPED[name], question)]

    assert (found, wrong) == (questions, [])


@pytest.mark.parametrize("skill", SHIPPED.values(), ids=SHIPPED)
def test_every_shipped_skill_has_several_prompts_some_without_a_word_of_it(skill: Skill) -> None:
    marked = [has_skill_word(skill, prompt) for prompt in skill.neutral_prompts]

    assert marked == [False, False, True]
    if skill.dataset == "vqav2":  # a skill of another data set is the whole of it
        assert not any(matched_rule(skill, prompt) for prompt in skill.neutral_prompts)


def test_statements_and_questions_can_be_chosen_by_what_is_known_of_them() -> None:
    above = Skill("above", dataset="vsr", relations=("above", "on top of"))
    named = Skill("mine", ids=("7", "8"))
    whole = Skill("all_statements", dataset="vsr")

    assert matched_rule(above, "The cat is on it.", relation="on top of") == "relation: on top of"
    assert matched_rule(above, "The cat is above it.", relation="under") is None
    assert matched_rule(named, "What?", external_id="8") == "id: 8"
    assert matched_rule(named, "What?", external_id="9") is None
    assert matched_rule(whole, "The cat is there.", relation="in") == "dataset: vsr"


def test_a_look_alike_is_told_from_a_question_without_one() -> None:
    assert has_look_alike(SPATIAL, "Is this the right way?")
    assert not has_look_alike(SPATIAL, "Is this a cat?")


OWN = """
name: animals
patterns:
  - 'cats?|dogs?'
neutral_prompts: ['Describe the image.']
min_fired: 5
"""


def test_a_skill_of_ones_own_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "animals.yaml"
    file.write_text(OWN)

    found = define_skills(["spatial", str(file)], {})

    assert list(found) == ["spatial", "animals"]
    assert matched_rule(found["animals"], "Is there a dog?") == "cats?|dogs?"
    definition = definition_of(found["animals"])
    assert (definition["min_fired"], definition["patterns"]) == (5, ["cats?|dogs?"])
    # what a run keeps is enough: the file may go
    assert define_skills(["animals"], {"animals": definition})["animals"] == found["animals"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OWN + "pattern: [x]", "unknown keys pattern; a skill has name, dataset, patterns"),
        (OWN.replace("name: animals", ""), "is called '': expected lower-case letters"),
        (OWN.replace("animals", "vsr"), "'vsr', which every run has"),
        (OWN.replace("['Describe the image.']", "Describe"), "expected a list"),
        (OWN.replace("5", "no"), "min_fired of .* is False: expected a whole number"),
        ("- a", "holds list, expected a mapping"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_file_that_defines_no_skill_says_why(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_skill(file)


def test_what_harvest_skills_may_not_say() -> None:
    with pytest.raises(ValueError, match="'spacial' does not ship: expected one of colour, count"):
        define_skills(["spacial"], {})
    with pytest.raises(ValueError, match=r"no skill at mine\.yaml"):
        define_skills(["mine.yaml"], {})
    with pytest.raises(ValueError, match="'spatial' comes twice"):
        define_skills(["spatial", "spatial"], {})
    with pytest.raises(ValueError, match=r"harvest\.definitions has animals"):
        define_skills([], {"animals": {}})
    with pytest.raises(ValueError, match="skill 'animals' is called"):
        skill_from({}, "skill 'animals'")


def test_a_skill_of_ones_own_can_come_from_yaml() -> None:
    counting = Skill("counting", patterns=["how many"], question_types=["number"])  # type: ignore[arg-type]

    assert matched_rule(counting, "How many dogs are there?") == "how many"
    same = Skill("counting", patterns=("how many",), question_types=("number",))
    assert hash(counting) == hash(same)


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
        ({"patterns": (r"\w+",)}, "matches words that are none, so every question"),
        ({"patterns": ("left",), "dataset": "coco"}, "data set 'coco': expected one of vqav2, vsr"),
        (
            {"patterns": ("left",), "paraphrases": ("Is it?",)},
            "other words around {question}, once",
        ),
        ({"patterns": ("left",), "paraphrases": (" {question} ",)}, "other words around"),
    ],
)
def test_a_skill_that_cannot_work_is_refused(
    fields: dict[str, tuple[str, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Skill("mine", **fields)
