"""From words to sentences, through WordNet's relations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kubefugu_experts.engines.base import Answer, Declined, Reply
from kubefugu_experts.engines.definitions.wordnet import POS_NAMES, Pointer, Synset, WordNet

_MOST_WORDS, _MOST_SENSES, _MOST_LEVELS = 12, 2, 16
_SAME_WEIGHT = 3.0
"""A word of the same synset counts so much more than one of a similar synset."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a question with its lemma for each part of speech."""

    text: str
    lemmas: dict[str, str]


def join(parts: Iterable[str], last: str = "and") -> str:
    """a, b and c."""
    items = list(parts)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


class Lexicon:
    """Answers each kind of question."""

    def __init__(self, wordnet: WordNet) -> None:
        self._wordnet = wordnet
        self._kinds: dict[str, Callable[[list[Word], tuple[str, ...], int | None], Reply | None]] = {
            "definition": self._definition,
            "synonyms": self._synonyms,
            "antonyms": self._antonyms,
            "pos": self._parts_of_speech,
            "pos check": self._pos_check,
            "broader": self._broader,
            "narrower": self._narrower,
            "parts": self._parts,
            "same": self._same,
            "opposed": self._opposed,
            "kind check": self._kind_check,
        }

    def lemmas(self, text: str) -> dict[str, str]:
        """Part of speech -> lemma."""
        return self._wordnet.lemmas(text)

    def is_common_noun(self, text: str) -> bool:
        """True where the first noun sense is written in lower case: an oboe, but not the Good Book."""
        lemma = self.lemmas(text).get("n")
        if lemma is None:
            return False
        return any(word.replace(" ", "_") == lemma for word in self._wordnet.senses(lemma, "n")[0].words)

    def answer(self, kind: str, words: list[Word], pos: tuple[str, ...], count: int | None) -> Reply | None:
        """The reply to a kind of question; None where it does not fit after all."""
        return self._kinds[kind](words, pos, count)

    def _ranked_pos(self, word: Word, wanted: tuple[str, ...] = ()) -> list[str]:
        """Parts of speech of a word, the most usual first; a form that is its own lemma comes before an inflected one."""
        found = [pos for pos in word.lemmas if not wanted or pos in wanted]
        form = word.text.replace(" ", "_")
        return sorted(found, key=lambda pos: (word.lemmas[pos] != form, -self._wordnet.frequency(word.lemmas[pos], pos)))

    def _senses(self, word: Word, wanted: tuple[str, ...] = ()) -> list[Synset]:
        return [sense for pos in self._ranked_pos(word, wanted) for sense in self._wordnet.senses(word.lemmas[pos], pos)]

    def _follow(self, pointers: Iterable[Pointer]) -> list[Synset]:
        return [self._wordnet.synset(pointer.pos, pointer.offset) for pointer in pointers]

    def _definition(self, words: list[Word], pos: tuple[str, ...], count: int | None) -> Reply | None:
        (word,) = words
        ranked = self._ranked_pos(word, pos)
        if not ranked:
            return Declined(
                f'WordNet does not know "{word.text}" as {"a" if pos else "any"} {POS_NAMES[pos[0]] if pos else "word"}.'
            )
        first, *others = ranked
        senses = self._wordnet.senses(word.lemmas[first], first)[:_MOST_SENSES]
        text = f'"{word.text}" ({POS_NAMES[first]}): {"; or: ".join(sense.definition for sense in senses)}.'
        for other in others:
            sense = self._wordnet.senses(word.lemmas[other], other)[0]
            text += f" As {_article(POS_NAMES[other])}: {sense.definition}."
        return Answer(text)

    def _synonyms(self, words: list[Word], pos: tuple[str, ...], count: int | None) -> Reply | None:
        (word,) = words
        found = self._synonyms_of(word, pos)
        if not found:
            return Declined(f'WordNet lists no synonym of "{word.text}".')
        chosen = found[: count or _MOST_WORDS]
        return Answer(f'{"A synonym" if len(chosen) == 1 else "Synonyms"} of "{word.text}": {join(chosen)}.')

    def _synonyms_of(self, word: Word, pos: tuple[str, ...] = ()) -> list[str]:
        """Words of the same synsets and, for adjectives, of similar ones: usual words of frequent senses first."""
        names = {word.text, *(lemma.replace("_", " ") for lemma in word.lemmas.values())}
        senses = self._senses(word, pos)
        weights: dict[str, float] = {}
        for number, sense in enumerate(senses):
            for factor, others in ((_SAME_WEIGHT, [sense]), (1.0, self._follow(sense.related("&")))):
                for other in (word for synset in others for word in synset.words):
                    usual = 1 + self._wordnet.frequency(other.lower().replace(" ", "_"), sense.pos)
                    weights[other] = weights.get(other, 0) + factor * usual / (1 + number) ** 1.5
        return self._new(sorted(weights, key=lambda other: -weights[other]), names)

    def _new(self, words: Iterable[str], known: set[str]) -> list[str]:
        return [word for word in dict.fromkeys(words) if word.lower() not in known]

    def _antonyms(self, words: list[Word], pos: tuple[str, ...], count: int | None) -> Reply | None:
        (word,) = words
        found = self._antonyms_of(word, pos)
        if not found:
            return Declined(f'WordNet lists no antonym of "{word.text}".')
        chosen = found[: count or _MOST_WORDS]
        return Answer(f'{"The opposite" if len(chosen) == 1 else "Opposites"} of "{word.text}": {join(chosen)}.')

    def _antonyms_of(self, word: Word, pos: tuple[str, ...] = ()) -> list[str]:
        """Direct antonyms, then those of the head that an adjective is similar to."""
        direct, indirect = [], []
        for sense in self._senses(word, pos):
            names = [name.lower() for name in sense.words]
            own = {number for number, name in enumerate(names, start=1) if name.replace(" ", "_") in word.lemmas.values()}
            direct += [self._target(pointer) for pointer in sense.related("!") if pointer.source_word in own]
            if sense.satellite:
                for head in self._follow(sense.related("&")):
                    indirect += [self._target(pointer) for pointer in head.related("!")]
            else:
                indirect += [self._target(pointer) for pointer in sense.related("!") if pointer.source_word not in own]
        return list(dict.fromkeys([*direct, *indirect]))

    def _near_antonyms(self, word: Word) -> list[str]:
        """Antonyms of words that WordNet says to see also: happy, glad, sad."""
        near = [other for sense in self._senses(word) for other in self._follow(sense.related("^", "&"))]
        return [self._target(pointer) for sense in near for pointer in sense.related("!")]

    def _target(self, pointer: Pointer) -> str:
        words = self._wordnet.synset(pointer.pos, pointer.offset).words
        return words[max(0, pointer.target_word - 1)]

    def _parts_of_speech(self, words: list[Word], pos: tuple[str, ...], count: int | None) -> Reply | None:
        (word,) = words
        names = [_article(POS_NAMES[found]) for found in self._ranked_pos(word)]
        verb = "is" if len(names) == 1 else "can be"
        return Answer(f'"{word.text}" {verb} {join(names, "or")}.')

    def _pos_check(self, words: list[Word], pos: tuple[str, ...], count: int | None) -> Reply | None:
        (word,) = words
        ranked = self._ranked_pos(word)
        names = join([_article(POS_NAMES[found]) for found in ranked], "or")
        verb = "is" if len(ranked) == 1 else "can be"
        if len(pos) == 1:
            return Answer(f'{"Yes" if pos[0] in ranked else "No"}, "{word.text}" {verb} {names}.')
        return Answer(f'"{word.text}" {verb} {names}.')

    def _broader(self, words: list[Word], pos: tuple[str, ...], count: int | None) -> Reply | None:
        (word,) = words
        for sense in self._senses(word, pos or ("n", "v")):
            above = self._follow(sense.related("@", "@i"))
            if above:
                chain = [above[0], *self._above(above[0])][:3]
                return Answer(
                    f'"{word.text}" is a kind of {above[0].words[0]} (then {join([up.words[0] for up in chain[1:]], "and")}).'
                    if chain[1:]
                    else f'"{word.text}" is a kind of {above[0].words[0]}.'
                )
        return Declined(f'WordNet lists no broader term for "{word.text}".')

    def _above(self, synset: Synset) -> list[Synset]:
        found: list[Synset] = []
        while len(found) < _MOST_LEVELS and (above := self._follow(synset.related("@", "@i"))):
            synset = above[0]
            found.append(synset)
        return found

    def _narrower(self, words: list[Word], pos: tuple[str, ...], count: int | None) -> Reply | None:
        return self._list(words[0], ("~", "~i"), "Kinds", pos or ("n", "v"), count)

    def _parts(self, words: list[Word], pos: tuple[str, ...], count: int | None) -> Reply | None:
        return self._list(words[0], ("%p", "%m", "%s"), "Parts", ("n",), count)

    def _list(self, word: Word, symbols: tuple[str, ...], title: str, pos: tuple[str, ...], count: int | None) -> Reply:
        for sense in self._senses(word, pos):
            below = self._follow(sense.related(*symbols))
            if below:
                names = list(dict.fromkeys(synset.words[0] for synset in below))[: count or _MOST_WORDS]
                return Answer(f'{title} of "{word.text}": {join(names)}.')
        return Declined(f'WordNet lists no {title.lower()} of "{word.text}".')

    def _same(self, words: list[Word], pos: tuple[str, ...], count: int | None) -> Reply | None:
        first, second = words
        offsets = {(sense.pos, sense.offset) for sense in self._senses(first)}
        same = any((sense.pos, sense.offset) in offsets for sense in self._senses(second))
        names = {lemma.replace("_", " ") for lemma in second.lemmas.values()} | {second.text}
        same = same or any(other.lower() in names for other in self._synonyms_of(first))
        return Answer(f'{"Yes" if same else "No"}, "{first.text}" and "{second.text}" are {"" if same else "not "}synonyms.')

    def _opposed(self, words: list[Word], pos: tuple[str, ...], count: int | None) -> Reply | None:
        first, second = words
        names = {lemma.replace("_", " ") for lemma in second.lemmas.values()} | {second.text}
        opposed = any(other.lower() in names for other in [*self._antonyms_of(first), *self._near_antonyms(first)])
        return Answer(
            f'{"Yes" if opposed else "No"}, "{first.text}" and "{second.text}" are {"" if opposed else "not "}antonyms.'
        )

    def _kind_check(self, words: list[Word], pos: tuple[str, ...], count: int | None) -> Reply | None:
        first, second = words
        if "n" not in first.lemmas or "n" not in second.lemmas:
            return None
        targets = {sense.offset for sense in self._wordnet.senses(second.lemmas["n"], "n")}
        kind = any(targets & self._closure(sense) for sense in self._wordnet.senses(first.lemmas["n"], "n"))
        return Answer(f'{"Yes" if kind else "No"}, "{first.text}" is {"" if kind else "not "}a kind of "{second.text}".')

    def _closure(self, synset: Synset) -> set[int]:
        """Offsets of a noun synset and everything above it."""
        seen: set[int] = set()
        waiting = [synset]
        while waiting:
            current = waiting.pop()
            if current.offset not in seen:
                seen.add(current.offset)
                waiting += self._follow(current.related("@", "@i"))
        return seen


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
