"""Takes a question out of its wrapping: greetings, requests, thanks."""

from __future__ import annotations

import re

from kubefugu_experts.phrasing.answer_form import without_form
from kubefugu_experts.phrasing.small_talk import without_small_talk
from kubefugu_experts.phrasing.tidy import tidy

_ADVERB = r"(?:please|pls|plz|kindly|possibly|perhaps|maybe|just|quickly|briefly|simply|also|now|then)"
_ME = r"(?:me|us)"
_I = r"(?:i|we)"
_KNOW = (
    r"(?:know|find(?: out)?|ask(?: you)?|learn|understand|figure out|work out|see|hear|be told|remember|check|determine"
    r"|get|compute)"
)
_PREFIXES = (
    r"(?:hi|hello|hey|hiya|yo|greetings|howdy|good (?:morning|afternoon|evening|day))"
    r"(?: (?:there|everyone|all|friend|again|assistant|bot|guys|folks))?",
    r"(?:dear|my) (?:friend|assistant|bot|expert)",
    rf"{_ADVERB}",
    rf"(?:can|could|would|will) (?:you|u|someone|somebody|anyone|anybody)(?: {_ADVERB})*"
    r"(?: be so kind as to| be able to| manage to)?",
    rf"(?:can|could|may|might) {_I} (?:{_ADVERB} )*(?:ask(?: you)?|know|get|have|learn)",
    rf"(?:tell|inform|remind|enlighten|advise) {_ME}(?: about)?",
    rf"(?:give|show|get|send|provide|offer)(?: {_ME}| {_ME} with)(?: the answer(?: to)?)?",
    rf"let {_ME} know",
    rf"help {_ME}(?: to| with| out)?(?: {_KNOW})?",
    r"do (?:you|u)(?: happen to)? (?:know|remember|recall|have any idea)(?: about)?",
    rf"{_I}(?:'d| would)(?: really| also)? (?:like|love)(?: for you)?(?: to(?: {_KNOW})?)?(?: you to)?(?: tell {_ME})?",
    rf"{_I}(?: {_ADVERB}| really| also)* (?:want|need|wish|have|must|should)(?: you)? to(?: {_KNOW})?(?: about)?",
    rf"{_I} need (?:help|assistance)(?: with| in)?(?: finding| this)?",
    rf"{_I}(?: am|'m| are|'re| was| were)(?: {_ADVERB}| really)*"
    rf" (?:wondering|curious|trying to {_KNOW}|interested in|interested to know|looking for)(?: about| to know)?",
    rf"{_I} wonder",
    rf"{_I} (?:forgot|forget|can'?t remember|cannot remember|don'?t know|do not know|don'?t remember)(?: again)?",
    r"(?:just |merely )?(?:curious|wondering|asking)(?: about)?",
    r"out of curiosity",
    r"(?:a |one |just a |here'?s a |here is a |i have a |i'?ve got a |another |my |next |last |the )?"
    r"(?:quick |simple |short |small |random |easy |math |trivia |homework |geography |following |more )*"
    r"(?:question|one|thing|riddle|puzzle|q|query|problem|task|exercise)(?: for you| here| is|"
    r" of the day| of mine)?(?= ?[:,.?!-])",
    r"(?:please )?(?:answer|solve|consider) (?:this|the following|me this|the next|my)(?: quick| simple| short)?"
    r"(?: question| problem| one| riddle| puzzle)?(?: for me| please| correctly| briefly|"
    r" carefully)*(?=[:.]| what| how| which)",
    r"(?:please )?(?:answer|reply|respond)[^:?.]{0,60}:",
    r"(?:what'?s|what is) the (?:right |correct )?answer to(?: this(?: one)?| the following)?(?: question)?(?: ?:)?",
    r"(?:in|with) (?:one|a few|a|two) (?:word|words|sentence|number)(?=,)",
    r"(?:for|as) (?:my|a|an|our|the|some) (?:[\w-]+ ){0,3}?"
    r"(?:homework|quiz|school|trivia|class|project|exam|test|assignment|report|course|essay|article|trip)(?:,| -|:)",
    r"as an? (?:expert|teacher|geographer|mathematician|linguist|specialist)[^,]{0,40},",
    r"(?:so|ok|okay|well|um+|uh+|hmm+|alright|now|actually|also|and|then|anyway|excuse me|pardon me)(?=[ ,])",
    r"(?:right|sorry|listen|look|say|guys|folks|quick)(?=,)",
    r"any (?:idea|clue|chance you know)(?: about| of)?",
    r"(?:thanks|thank you)(?: in advance| for your help| for helping)?(?=[,.!:-])",
    r"(?:question|q|user|human|input|prompt|problem|exercise|task|query)(?: ?\d+)? ?(?=:)",
    r"(?:if|whether) (?:you )?(?:could|can)(?: please)? tell me",
    r"if (?:you (?:don'?t mind|can|could|would|know)|possible|i may ask)(?=,)",
)
_SUFFIXES = (
    r"(?:please|pls|plz)",
    r"(?:many )?(?:thanks|thank you|thx|ty|cheers)"
    r"(?: (?:a lot|so much|very much|in advance|again|for your help|for helping|a million|a bunch))*",
    r"for (?:me|us)",
    r"if (?:you (?:can|could|would|don'?t mind|know(?: it)?|please)|possible|i may ask)",
    r"(?:real|really) (?:quick|quickly|fast)",
    r"by any chance",
    r"(?:do you know|can you tell me|could you tell me|any idea|would you know|can you help(?: me)?(?: with (?:this|that))?)",
    r"i (?:forgot|forget|always forget|can'?t remember|don'?t remember|need to know|wonder|am curious|'m curious)",
    r"(?:asap|lol|haha)",
    r"(?<=, )(?:again|right|exactly|precisely|anyway|then|though|dude|man|mate|buddy|bro|quick|quickly|roughly|actually)",
    r"(?:in|with) (?:one|a|a single|a few|two|just one) (?:word|words|sentence|number|short sentence)(?: only)?",
    r"(?:just|only) (?:the|a) (?:number|answer|name|result|value|word)",
    r"for (?:my|a|the|our) (?:homework|quiz|school|class|exam|test|project|assignment)",
    r"(?:[:;]-?[)D(]|[\U0001F300-\U0001FAFF\u2600-\u27BF]+)",
)
_PREFIX = re.compile(rf"(?:{'|'.join(_PREFIXES)})(?=$|[\s,.:;!?-])[\s,.:;!]*(?:- )?", re.IGNORECASE)
_SUFFIX = re.compile(rf"(?:[\s,.;!?-]+)(?:{'|'.join(_SUFFIXES)})[\s.!?]*$", re.IGNORECASE)
_MOST_LAYERS = 12


def bare(text: str) -> str:
    """The question without its wrapping and without closing punctuation; case is kept, and so is a factorial's mark."""
    text = without_small_talk(without_form(without_small_talk(tidy(text))))
    for _ in range(_MOST_LAYERS):
        before = text
        text = _PREFIX.sub("", text, count=1) if _PREFIX.match(text) else text
        text = _SUFFIX.sub("", text)
        text = text.strip(" \t,;:?.").lstrip("!")
        text = re.sub(r"(?<![\d)\]n])[\s!?.]*!$", "", text)
        if text == before:
            break
    return text
