"""The reader of WordNet's files: every lemma that it names has senses, every pointer leads somewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.expert_tables import ask

from kubefugu_experts.engines.base import Answer
from kubefugu_experts.engines.definitions.wordnet import WordNet, find_folder


@pytest.fixture(scope="module")
def folder() -> Path:
    try:
        return find_folder()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def wordnet(folder: Path) -> WordNet:
    return WordNet(folder)


def _words(folder: Path, pattern: str, number: int) -> list[str]:
    lines = [
        line.split()[0] for path in folder.glob(pattern) for line in path.read_text("utf-8").splitlines() if line[:1] != " "
    ]
    return [str(word) for word in np.random.default_rng(4).choice(lines, size=number, replace=False)]


def test_every_irregular_form_leads_to_a_lemma_with_senses(folder: Path, wordnet: WordNet) -> None:
    for word in _words(folder, "*.exc", 1500):
        for pos, lemma in wordnet.lemmas(word).items():
            assert wordnet.senses(lemma, pos), (word, pos, lemma)


def test_every_entry_is_found_and_its_relations_can_be_read(folder: Path, wordnet: WordNet) -> None:
    for word in _words(folder, "index.???*", 400):
        lemmas = wordnet.lemmas(word)
        assert lemmas, word
        for pos, lemma in lemmas.items():
            for sense in wordnet.senses(lemma, pos):
                assert sense.definition
                assert all(wordnet.synset(pointer.pos, pointer.offset).words for pointer in sense.pointers)


def test_whatever_is_in_the_dictionary_is_defined(folder: Path, wordnet: WordNet) -> None:
    for word in [*_words(folder, "*.exc", 150), *_words(folder, "index.???*", 150)]:
        text = word.replace("_", " ")
        if (
            wordnet.lemmas(text)
            and text.isascii()
            and text.replace(" ", "").isalpha()
            and text.count(" ") < 3
            and len(text) > 3
        ):
            assert isinstance(ask("definitions", f'What does the word "{text}" mean?'), Answer), text


def test_forms_are_found(wordnet: WordNet) -> None:
    for form, expected in (
        ("mice", "mouse"),
        ("ran", "run"),
        ("happier", "happy"),
        ("churches", "church"),
        ("studies", "study"),
    ):
        assert expected in wordnet.lemmas(form).values()
