# The in-cluster client of the end-to-end test: OpenAI's own Python package, nothing of ours.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE}
RUN pip install --no-cache-dir --root-user-action=ignore openai==3.52.0
USER 65532:65532
WORKDIR /tmp
