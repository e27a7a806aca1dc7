"""Runs in the client pod: asks the gateway with OpenAI's client and prints one JSON line per answer.

Arguments: seconds to go on asking (0: each question once), the model, then the questions.
"""

import json
import sys
import time

from openai import OpenAI, OpenAIError

client = OpenAI(base_url="http://kubefugu-gateway/v1", api_key="none", max_retries=0, timeout=120)


def ask(question: str) -> dict[str, object]:
    """One answer, or the error."""
    begun = time.monotonic()
    try:
        raw = client.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": question}], max_tokens=24
        )
    except OpenAIError as error:
        cause = repr(error.__cause__ or "")
        return {
            "question": question,
            "error": str(error),
            "cause": cause,
            "at": time.strftime("%H:%M:%S"),
            "after_s": time.monotonic() - begun,
        }
    answer = raw.parse().choices[0].message.content
    headers = {key.removeprefix("x-kubefugu-"): value for key, value in raw.headers.items() if key.startswith("x-kubefugu-")}
    return {"question": question, "answer": answer, **headers}


seconds, model, questions = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
end = time.monotonic() + seconds
while True:
    for text in questions:
        print(json.dumps(ask(text)), flush=True)
        time.sleep(0.1 if seconds else 0)
    if time.monotonic() >= end:
        break
