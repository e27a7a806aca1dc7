"""What questions of every field have in common: politeness, the answer's form, numbers in words, follow-ups."""

from kubefugu_experts.phrasing.follow_up import follow_up
from kubefugu_experts.phrasing.numbers import NUMBER, parse_number, words_to_digits
from kubefugu_experts.phrasing.politeness import bare
from kubefugu_experts.phrasing.rounding import Rounding, take_rounding
from kubefugu_experts.phrasing.tidy import fold, tidy

__all__ = ["NUMBER", "Rounding", "bare", "fold", "follow_up", "parse_number", "take_rounding", "tidy", "words_to_digits"]
