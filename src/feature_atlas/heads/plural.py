"""English plurals of an object's name, to tell that a question is about several (paper 5.2, C.2).

By endings, as spelling has them, and everyday nouns that follow none. More forms than one may be
given, some of which are no words: they are looked for in questions, and never written.
"""

REGULAR = ("s", "es")
ENDINGS = (
    *(("f", "ves"), ("fe", "ves"), ("y", "ies"), ("z", "zzes"), ("s", "sses")),
    *(("man", "men"), ("person", "people"), ("child", "children"), ("foot", "feet")),
    *(("tooth", "teeth"), ("goose", "geese"), ("mouse", "mice"), ("louse", "lice")),
    *(("ox", "oxen"), ("die", "dice"), ("penny", "pence"), ("cactus", "cacti")),
    *(("octopus", "octopi"), ("hippopotamus", "hippopotami"), ("fungus", "fungi")),
    *(("is", "es"), ("ex", "ices"), ("ix", "ices"), ("eau", "eaux")),
)
"""How a name's last word ends, and what it ends in when there are several."""


def plurals(name: str) -> set[str]:
    """Every way in which several of a name may be spelt: knife, knives and knifes; not knife."""
    irregular = {
        name.removesuffix(ending) + several for ending, several in ENDINGS if name.endswith(ending)
    }
    return {name + ending for ending in REGULAR} | irregular
