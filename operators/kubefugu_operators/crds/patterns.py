"""What to write instead, for every pattern of the models: a pattern alone tells a person too little.

The API server's own message for a pattern is the expression. The generator therefore turns each pattern into a CEL rule with
the sentence below; a test fails when a pattern has none.
"""

from __future__ import annotations

_NAME = "use lower-case letters, digits, dashes and dots, and begin and end with a letter or digit."
_QUANTITY = "write a Kubernetes quantity such as 500m, 2, 512Mi or 16Gi."
_DECIMAL = 'write a decimal number as a string without sign, exponent or currency, e.g. "0.25".'

MESSAGES: dict[str, str] = {
    r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$": _NAME,
    r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$": _NAME,
    r"^[0-9]{1,9}(\.[0-9]{1,9})?$": _DECIMAL,
    r"^([0-9]+(\.[0-9]{1,3})?(m|Ki|Mi|Gi|Ti|k|M|G|T)?)?$": _QUANTITY,
    r"^([0-9]+m?|[0-9]*\.[0-9]+)?$": "write a CPU quantity such as 500m, 2 or 0.5.",
    r"^([0-9]+(Ki|Mi|Gi|Ti|k|M|G|T)?)?$": "write a memory quantity such as 512Mi or 16Gi.",
    r"^https?://[^\s]+$": "write a URL that begins with http:// or https:// and has no spaces, e.g. https://api.example.com/v1.",
    r"^/[^\s]*$": "write a path that begins with / and has no spaces.",
    r"^/[^\s:]*$": "write an absolute path without spaces and colons.",
    r"^[^/\s][^\s]*$": "write a path relative to the volume's root: no leading /, no spaces.",
    r"^[^\s]+$": "no spaces are allowed here.",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "use letters, digits and underscores, and do not begin with a digit.",
    r"^[-._a-zA-Z0-9]+$": "use letters, digits, dashes, underscores and dots: it is a key of a ConfigMap.",
    r"^([0-9a-f]{64})?$": "write the checksum as 64 lower-case hexadecimal digits, as sha256sum prints it.",
    r"^(auto|[0-9]{1,4}(\.[0-9]{1,9})?)$": 'write auto, or a decimal number as a string, e.g. "0.1".',
    r"^(https?|s3|gs|file|memory)://[^\s]+$": "write a URL with one of the schemes https, http, s3, gs or file, e.g. s3://bucket/table.parquet.",
    r"^((s3|gs|https?|file)://[^\s]+)?$": "write a URL with one of the schemes s3, gs, https, http or file, e.g. s3://bucket/runs.",
    r"^-?[0-9]{1,3}(\.[0-9]{1,9})?$": 'write a decimal number as a string, e.g. "0.01"; a minus sign is allowed.',
    r"^0(\.[0-9]{1,9})?$": 'write a decimal number from 0 to below 1 as a string, e.g. "0.95".',
    r"^[A-Z][A-Za-z]*$": "use CamelCase letters.",
    r"^[A-Z][A-Za-z0-9]*$": "use CamelCase letters and digits.",
}  # fmt: skip
