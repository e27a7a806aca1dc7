"""Meanings of English words. Definitions are checked against WordNet's glosses, synonyms and antonyms against an own list."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from kubefugu_trainer.tasks.question import Generator, Phrasing, Question
from kubefugu_trainer.tasks.verifiers import Contains
from kubefugu_trainer.tasks.verify_glosses import GlossOverlap
from kubefugu_trainer.tasks.wording import Wording, pick
from kubefugu_trainer.tasks.wordnet_files import glosses

FIELD = "definitions"

WORDS: tuple[str, ...] = tuple((files(__package__) / "data" / "words.txt").read_text(encoding="utf-8").split())
"""Words whose definition is asked for."""

_ROWS = """
happy:glad,joyful,cheerful,content,pleased,felicitous:sad,unhappy,miserable
big:large,huge,great,enormous:small,little,tiny
fast:quick,rapid,swift,speedy:slow
cold:chilly,freezing,frigid,icy,cool:hot,warm
brave:courageous,bold,fearless,valiant,heroic:cowardly,timid,fearful,afraid
angry:mad,furious,irate,cross,enraged:calm,unangry,pleased
rich:wealthy,affluent,moneyed,prosperous:poor,impoverished,needy
smart:clever,intelligent,bright,sharp:stupid,dumb
difficult:hard,tough,challenging,arduous:easy,simple
beautiful:pretty,lovely,gorgeous,attractive,handsome:ugly,hideous
begin:start,commence,get:end,finish,stop
buy:purchase,acquire,get:sell
help:assist,aid,support,serve:hinder,hurt,harm
strong:powerful,sturdy,mighty,robust,potent:weak,feeble
quiet:silent,calm,still,hushed,tranquil:noisy,loud
ancient:old,antique,aged:modern,new,young
empty:vacant,void,hollow:full
honest:truthful,sincere,trustworthy,honorable:dishonest,deceitful
generous:giving,charitable,liberal,big:stingy,selfish,ungenerous,mean
increase:grow,rise,enlarge,augment,growth:decrease,reduce,diminish
accept:receive,take,agree,admit:reject,refuse,decline
victory:win,triumph,conquest,success:defeat,loss
polite:courteous,civil,respectful,mannerly,gracious:rude,impolite
dangerous:hazardous,perilous,unsafe,risky:safe,secure
wide:broad,extensive,spacious:narrow
remember:recall,recollect,think:forget
love:adore,affection,passion,fondness,enjoy:hate,hatred,detest
friend:companion,pal,buddy,ally,comrade:enemy,foe
lazy:idle,indolent,slothful,otiose:diligent,industrious,hardworking,active
sick:ill,unwell,ailing:healthy,well
true:real,correct,accurate,genuine,truthful:false,untrue
dark:dim,gloomy,obscure,black:light,bright
clean:spotless,pure,neat,cleanse:dirty,soiled
build:construct,make,assemble,erect:destroy,demolish
permit:allow,let,license,authorize:forbid,prohibit,deny
expand:enlarge,grow,extend,increase,spread:contract,shrink
"""
RELATED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    word: (tuple(same.split(",")), tuple(opposite.split(",")))
    for word, same, opposite in (row.split(":") for row in _ROWS.strip().splitlines())
}
"""word -> (synonyms, antonyms)."""

_DEFINE = Wording(
    seen=(
        "What does the word '{w}' mean?", "Define {w}.", "What is the definition of {w}?", "What does {w} mean?",
        "Define the word \"{w}\".",
        "What is the meaning of {w}?", "meaning of {w}", "Give the definition of '{w}'.", "Can you define {w}?",
        "definition of {w}",
        "What's the meaning of the word {w}?", "Give me a definition of the word '{w}'.",
    ),
    new=(
        "How would a dictionary define {w}?", "I don't know the word '{w}'. What does it mean?",
        "Look up {w} in the dictionary.",
        "What do people mean when they say '{w}'?", "Provide the dictionary meaning of {w}.",
    ),
    fresh=(
        "Explain the word '{w}' to me.", "{w} - what is that supposed to mean?",
        "I read the word {w} in a book. What does it stand for?", "In one sentence, what is meant by '{w}'?",
        "What is {w}, according to the dictionary?", "Tell me what '{w}' means.",
    ),
)  # fmt: skip
_SYNONYM = Wording(
    seen=(
        "What is a synonym for {w}?", "Give me a synonym of '{w}'.", "Name a synonym for the word {w}.",
        "What is another word for {w}?", "synonym of {w}",
        "List synonyms of {w}.",
    ),
    new=("Which word means the same as {w}?", "What are some synonyms for '{w}'?", "Find me another word for '{w}'."),
    fresh=(
        "How else could I say '{w}'?", "Is there a word similar in meaning to {w}?",
        "Replace the word '{w}' by one with the same meaning.", "A synonym for '{w}', please.",
    ),
)  # fmt: skip
_ANTONYM = Wording(
    seen=(
        "What is the opposite of {w}?", "Give me an antonym of '{w}'.", "What is an antonym for {w}?",
        "Name the opposite of the word {w}.", "antonym of {w}",
    ),
    new=("Which word means the opposite of {w}?", "What are antonyms for '{w}'?", "Find the opposite of '{w}'."),
    fresh=(
        "What would be the contrary of {w}?", "Name a word that means just the reverse of '{w}'.",
        "I need the opposite of '{w}'.", "{w} is to be replaced by its opposite: which word?",
    ),
)  # fmt: skip


def define(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """The meaning of a word."""
    while True:
        word = pick(rng, WORDS)
        if found := glosses(word):
            break
    prompt = _DEFINE.say(rng, phrasing, {"w": word})
    return Question(
        prompt=prompt, field=FIELD, topic="define", phrasing=phrasing, verifier=GlossOverlap(word=word, glosses=found)
    )


def synonym(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """A word with the same meaning."""
    word = pick(rng, tuple(RELATED))
    prompt = _SYNONYM.say(rng, phrasing, {"w": word})
    return Question(
        prompt=prompt, field=FIELD, topic="synonym", phrasing=phrasing, verifier=Contains(accepted=RELATED[word][0])
    )


def antonym(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """A word with the opposite meaning."""
    word = pick(rng, tuple(RELATED))
    prompt = _ANTONYM.say(rng, phrasing, {"w": word})
    return Question(
        prompt=prompt, field=FIELD, topic="antonym", phrasing=phrasing, verifier=Contains(accepted=RELATED[word][1])
    )


TOPICS: dict[str, Generator] = {
    "define": define,
    "define again": define,
    "define more": define,
    "synonym": synonym,
    "antonym": antonym,
}
