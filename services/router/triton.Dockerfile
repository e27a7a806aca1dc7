# The Triton server beside the router: the model repository, the engine, and a server.
# Production, on a GPU: --build-arg BASE=nvcr.io/nvidia/tritonserver:25.08-py3 (its own server, Python 3.12, CUDA build of torch).
# Where that can't be pulled: the default, Python and the server that the package nvidia-pytriton carries (CPU, 2.51).
# Build from the repository root: docker build -f services/router/triton.Dockerfile -t kubefugu-router-triton .
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS dependencies
ARG TORCH_INDEX=
ARG PYTRITON_VERSION=0.7.0
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY constraints.txt ./
# Into folders of their own: bases differ in where their Python keeps packages, and some forbid touching it.
RUN if [ ! -x /opt/tritonserver/bin/tritonserver ]; then \
      python3 -m pip install --target=/opt/kubefugu/server --no-deps "nvidia-pytriton==${PYTRITON_VERSION}" && \
      chmod +x /opt/kubefugu/server/pytriton/tritonserver/bin/tritonserver; \
    else mkdir -p /opt/kubefugu/server; fi
# What others wrote, in a layer of its own: a change of our code leaves it as it is.
COPY libs/core/pyproject.toml libs/core/
COPY libs/routing/pyproject.toml libs/routing/
COPY libs/stubs/pyproject.toml libs/stubs/
COPY services/router/pyproject.toml services/router/
RUN mkdir -p libs/core/kubefugu_core libs/routing/kubefugu_routing libs/stubs/kubefugu services/router/kubefugu_router && \
    python3 -m pip install --target=/opt/kubefugu/dependencies -c constraints.txt ${TORCH_INDEX:+--extra-index-url ${TORCH_INDEX}} \
      torch ./libs/core ./libs/routing ./libs/stubs ./services/router

FROM dependencies AS code
COPY libs/core libs/core
COPY libs/routing libs/routing
COPY libs/stubs libs/stubs
COPY services/router services/router
RUN python3 -m pip install --target=/opt/kubefugu/code --no-deps \
      ./libs/core ./libs/routing ./libs/stubs ./services/router

FROM ${BASE}
# The packaged server's stub links Python's shared library, which Debian's own Python leaves to a package of its own.
RUN if [ ! -x /opt/tritonserver/bin/tritonserver ] && ! ldconfig -p | grep -q libpython3.11.so.1.0; then \
      apt-get update -qq && apt-get install -y -qq --no-install-recommends libpython3.11 && rm -rf /var/lib/apt/lists/*; \
    fi
COPY --from=dependencies /opt/kubefugu/dependencies /opt/kubefugu/dependencies
COPY --from=dependencies /opt/kubefugu/server /opt/kubefugu/server
COPY --from=code /opt/kubefugu/code /opt/kubefugu/code
COPY services/router/model_repository /opt/kubefugu/model_repository
ENV PYTHONPATH=/opt/kubefugu/code:/opt/kubefugu/dependencies:/opt/kubefugu/server \
    PATH=/opt/kubefugu/code/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin:/opt/tritonserver/bin \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp KUBEFUGU_HOME=/tmp/kubefugu
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["kubefugu-triton", "--model-repository=/opt/kubefugu/model_repository"]
