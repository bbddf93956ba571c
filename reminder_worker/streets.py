"""Which words of a text are the name of a street: Hebammensteig, Rue de la Maternité, Hospice Road; no I/O.

A word that tells a reason elsewhere is only a name there, so `disclosure` warns instead of refusing. Some words
that streets begin or end with are left out: a Therapieplatz is a bed, and "via Oncology" is the way to the entrance.
"""

from reminder_worker.folding import Word

# fmt: off
_ENDINGS = (
    "strasse", "str", "gasse", "allee", "steig", "stieg", "brucke", "damm", "straat", "laan", "dreef", "kade", "gracht",
    "steeg",
)
_BEHIND = frozenset({
    "strasse", "str", "gasse", "allee", "weg", "steig", "brucke", "straat", "laan", "street", "road", "lane", "avenue",
})
_BEFORE = frozenset({
    "rue", "avenue", "boulevard", "bd", "impasse", "allee", "chemin", "quai", "sentier", "calle", "avenida", "avda",
    "paseo", "travesia", "rua", "travessa", "calcada", "avinguda", "carrer", "viale", "vicolo", "piazza", "ulica", "ul",
    "aleja",
})
_BEFORE_ARTICLE = frozenset({
    "place", "square", "pont", "passage", "plaza", "praca", "largo", "alameda", "via", "corso", "ponte", "puente",
    "clos", "cours", "r", "av", "trav", "tv", "lgo", "estrada", "estr", "beco", "camino", "cno", "strada",
})
_ARTICLES = frozenset({
    "de", "du", "des", "d", "la", "le", "les", "l", "del", "los", "las", "da", "do", "dos", "das", "di", "dell",
    "della", "dello", "dei", "degli", "delle",
})
# fmt: on


def named(words: list[Word]) -> set[int]:
    """Return the positions of the words that are names of streets."""
    letters = [word.letters for word in words]
    found = {place for place, word in enumerate(letters) if word.endswith(_ENDINGS) and word not in _BEHIND}
    found |= {place - 1 for place, word in enumerate(letters) if place and word in _BEHIND}
    for place, word in enumerate(letters):
        if word in _BEFORE or word in _BEFORE_ARTICLE:
            name = place + 1
            while name < len(letters) and letters[name] in _ARTICLES:
                name += 1
            if word in _BEFORE or name > place + 1:
                found.add(name)
    return found
