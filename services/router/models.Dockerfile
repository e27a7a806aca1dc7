# Model files alone, for clusters that reach no model hub: an init container copies them into a volume of the pod (values: models).
# The context is a folder with one sub-folder per model, e.g. the model cache of this command line:
#   kubefugu models fetch smollm2-135m-instruct && docker build -f services/router/models.Dockerfile ~/.cache/kubefugu/models
ARG BASE=docker.io/library/busybox:1.36
FROM ${BASE}
ARG MODELS=smollm2-135m-instruct
COPY ${MODELS} /models/${MODELS}
USER 65532:65532
CMD ["sh", "-c", "cp -r /models/. /target/"]
