# A worker image with its model inside: llama.cpp's server and one GGUF model.
# The context is the model cache, as for services/router/models.Dockerfile.
ARG BASE=kubefugu-experts:dev
FROM ${BASE}
ARG MODEL=smollm2-135m-instruct
COPY ${MODEL} /models/${MODEL}
ENTRYPOINT ["kubefugu-llamacpp"]
