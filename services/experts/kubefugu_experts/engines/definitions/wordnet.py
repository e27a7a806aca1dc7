"""A reader of WordNet's database files (wndb(5WN), wninput(5WN), morphy(7WN)): memory-mapped, nothing is loaded.

Index files are sorted by lemma and searched by bisection; a synset is read at its byte offset.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDERS = ("/usr/share/wordnet", "/usr/share/wordnet-3.0/dict", "/usr/local/WordNet-3.0/dict", "/usr/local/share/wordnet")
POS_NAMES = {"n": "noun", "v": "verb", "a": "adjective", "r": "adverb"}
_FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
_DETACHMENTS = {
    "n": (("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")),
    "v": (("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "r": (),
}


@dataclass(frozen=True, slots=True)
class Pointer:
    """A relation to another synset; word numbers count from 1, 0 stands for the whole synset."""

    symbol: str
    offset: int
    pos: str
    source_word: int
    target_word: int


@dataclass(frozen=True, slots=True)
class Synset:
    """Words of one meaning."""

    offset: int
    pos: str
    satellite: bool
    words: tuple[str, ...]
    pointers: tuple[Pointer, ...]
    gloss: str

    @property
    def definition(self) -> str:
        """The gloss without its examples."""
        return re.split(r'; ?"', self.gloss, maxsplit=1)[0].strip().rstrip(";")

    def related(self, *symbols: str) -> Iterator[Pointer]:
        """Pointers of these kinds."""
        return (pointer for pointer in self.pointers if pointer.symbol in symbols)


class WordNet:
    """The database. Raises FileNotFoundError where its files are missing."""

    def __init__(self, folder: Path) -> None:
        self._index = {pos: _mapped(folder / f"index.{name}") for pos, name in _FILES.items()}
        self._data = {pos: _mapped(folder / f"data.{name}") for pos, name in _FILES.items()}
        self._exceptions = {pos: _mapped(folder / f"{name}.exc") for pos, name in _FILES.items()}
        counts = folder / "cntlist.rev"
        self._counts = _mapped(counts) if counts.is_file() else None

    def lemmas(self, text: str) -> dict[str, str]:
        """Part of speech -> lemma, for every part of speech that the text is a form of."""
        form = re.sub(r"[\s]+", "_", text.strip().lower())
        found = {pos: lemma for pos in POS_NAMES if (lemma := self._lemma(form, pos))}
        if not found and "-" in form:
            return self.lemmas(form.replace("-", " "))
        return found

    def senses(self, lemma: str, pos: str) -> list[Synset]:
        """Synsets of a lemma, the most frequent first."""
        line = _find(self._index[pos], lemma)
        if line is None:
            return []
        fields = line.split()
        return [self.synset(pos, int(offset)) for offset in fields[-int(fields[2]) :]]

    def synset(self, pos: str, offset: int) -> Synset:
        """The synset at an offset."""
        data = self._data["a" if pos == "s" else pos]
        line = data[offset : data.find(b"\n", offset)].decode("utf-8", "replace")
        head, _, gloss = line.partition(" | ")
        fields = head.split()
        count = int(fields[3], 16)
        words = tuple(re.sub(r"\([a-z]+\)$", "", fields[4 + 2 * number]).replace("_", " ") for number in range(count))
        start = 4 + 2 * count
        pointers = []
        for number in range(int(fields[start])):
            symbol, target, target_pos, numbers = fields[start + 1 + 4 * number : start + 5 + 4 * number]
            pointers.append(Pointer(symbol, int(target), target_pos, int(numbers[:2], 16), int(numbers[2:], 16)))
        return Synset(offset, "a" if fields[2] == "s" else fields[2], fields[2] == "s", words, tuple(pointers), gloss.strip())

    def frequency(self, lemma: str, pos: str) -> int:
        """How often the lemma was found with this part of speech in WordNet's tagged texts."""
        if self._counts is None:
            return 0
        types = {"n": "1", "v": "2", "a": "35", "r": "4"}[pos]
        total = 0
        for line in _lines_from(self._counts, f"{lemma}%"):
            if line[len(lemma) + 1] in types:
                total += int(line.split()[-1])
        return total

    def _lemma(self, form: str, pos: str) -> str | None:
        """The base form, as morphy finds it: the form itself, an exception, or a detached ending."""
        if _find(self._index[pos], form):
            return form
        exception = _find(self._exceptions[pos], form)
        if exception:  # some name a base form that the index does not have
            return next((lemma for lemma in exception.split()[1:] if _find(self._index[pos], lemma)), None)
        for ending, replacement in _DETACHMENTS[pos]:
            if form.endswith(ending) and len(form) > len(ending) + 1:
                lemma = form.removesuffix(ending) + replacement
                if _find(self._index[pos], lemma):
                    return lemma
        return None


def find_folder() -> Path:
    """Where WordNet's files are. Raises FileNotFoundError with a sentence for people."""
    for folder in map(Path, FOLDERS):
        if (folder / "index.noun").is_file() and (folder / "data.noun").is_file():
            return folder
    raise FileNotFoundError("WordNet's database files are not installed (Debian's package `wordnet`).")


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _line_at(data: mmap.mmap, position: int) -> tuple[int, bytes]:
    """Start and text of the line that holds a position."""
    start = data.rfind(b"\n", 0, position) + 1
    end = data.find(b"\n", start)
    return start, data[start : end if end >= 0 else len(data)]


def _bisect(data: mmap.mmap, key: bytes) -> int:
    """Start of the first line that is not smaller than the key (the licence's lines start with blanks and sort first)."""
    low, high = 0, len(data)
    while low < high:
        middle = (low + high) // 2
        start, line = _line_at(data, middle)
        if line < key:
            low = start + len(line) + 1
        else:
            high = start
    return low


def _find(data: mmap.mmap, word: str) -> str | None:
    """The line whose first field is the word."""
    try:
        key = word.encode("ascii") + b" "
    except UnicodeEncodeError:
        return None
    start = _bisect(data, key)
    if start >= len(data):
        return None
    _, line = _line_at(data, start)
    return line.decode("ascii", "replace") if line.startswith(key) else None


def _lines_from(data: mmap.mmap, prefix: str) -> Iterator[str]:
    """All lines that start with the prefix."""
    key = prefix.encode("ascii", "replace")
    position = _bisect(data, key)
    while position < len(data):
        start, line = _line_at(data, position)
        if not line.startswith(key):
            return
        yield line.decode("ascii", "replace")
        position = start + len(line) + 1
