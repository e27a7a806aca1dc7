"""Sentences around a question that hold nothing of it: "Please help:", "My teacher asked:", "Any idea?", "Cheers." """

from __future__ import annotations

import re

_WORDS = frozenset(
    ["hi", "hello", "hey", "hiya", "yo", "there", "greetings", "howdy", "good", "morning", "afternoon", "evening", "day", "dear", "friend", "everyone", "all", "folks", "guys", "team", "please", "pls", "plz", "kindly", "help", "helping", "helped", "me", "us", "i", "we", "my", "our", "you", "your", "u", "can", "could", "would", "will", "should", "may", "might", "must", "do", "does", "did", "need", "needs", "want", "wants", "wanted", "like", "love", "know", "knows", "tell", "told", "telling", "ask", "asked", "asks", "asking", "answer", "answers", "answered", "answering", "question", "questions", "problem", "problems", "task", "exercise", "homework", "quiz", "test", "exam", "trivia", "puzzle", "riddle", "assignment", "class", "school", "teacher", "professor", "boss", "son", "daughter", "brother", "sister", "mother", "father", "mom", "dad", "wife", "husband", "colleague", "friends", "kids", "someone", "somebody", "this", "that", "these", "it", "one", "more", "thing", "another", "next", "last", "first", "quick", "quickly", "small", "short", "brief", "briefly", "simple", "easy", "random", "little", "here", "is", "are", "am", "was", "were", "be", "been", "been's", "got", "have", "has", "had", "for", "with", "about", "from", "in", "on", "at", "to", "of", "the", "a", "an", "and", "so", "but", "also", "just", "only", "really", "very", "much", "many", "sorry", "bother", "bothering", "excuse", "pardon", "if", "possible", "mind", "don't", "dont", "not", "no", "any", "idea", "ideas", "clue", "thoughts", "thanks", "thank", "thx", "ty", "cheers", "advance", "appreciate", "appreciated", "grateful", "would'd", "i'd", "i'm", "im", "i've", "ive", "we're", "lets", "let's", "let", "keep", "reply", "respond", "soon", "asap", "wondering", "wonder", "curious", "curiosity", "out", "thinking", "trying", "find", "figure", "work", "today", "now", "again", "then", "ok", "okay", "alright", "well", "um", "uh", "hmm", "right", "q", "hope", "hoping", "great", "nice", "fine", "cool", "perfect", "wonderful", "favor", "favour", "time", "moment", "second", "sec", "minute", "long", "take", "appreciate's", "something", "stuck", "struggling", "figure", "understand", "looking", "forward", "response", "take", "your", "best", "bye", "regards", "sincerely"]
)  # fmt: skip
_ASKS = re.compile(r"^(?:what|which|who|whose|where|when|why|how|is|are|was|were|define|name|list|find|give)\b", re.IGNORECASE)
_MOST_WORDS = 12
_BOUNDARY = re.compile(r"(?<=[.?!:])\s+(?=\S)|\s+-+\s+(?=\S)")
_UNMARKED = re.compile(
    r"(?<=[\w)'\"%]) (?=(?:Please (?:answer|reply|respond|keep)|Give (?:only|just)|Thank you|Thanks|Many thanks|Keep it|Cheers|Any idea|"
    r"Answer (?:with|in|only|briefly)|I'd appreciate|I would appreciate|Just the|Reply (?:with|only)|Respond (?:with|only))\b)"
)


def without_small_talk(text: str) -> str:
    """Drop sentences of small talk at both ends; a closing wish without a full stop before it gets one."""
    text = _UNMARKED.sub(". ", text)
    parts = [part for part in _BOUNDARY.split(text) if part.strip()]
    start, stop = 0, len(parts)
    while stop - start > 1 and is_small_talk(parts[start]):
        start += 1
    while stop - start > 1 and is_small_talk(parts[stop - 1]):
        stop -= 1
    if (start, stop) == (0, len(parts)):
        return text
    first = text.find(parts[start])
    last = text.rfind(parts[stop - 1]) + len(parts[stop - 1])
    return text[first:last]


def is_small_talk(sentence: str) -> bool:
    """True where every word is small talk and nothing is asked."""
    words = re.findall(r"[\w']+", sentence.lower())
    if not words or len(words) > _MOST_WORDS or re.search(r"\d", sentence):
        return not words
    return all(word in _WORDS for word in words) and not (
        _ASKS.match(sentence) and sentence.rstrip().endswith("?") and len(words) < 3
    )
