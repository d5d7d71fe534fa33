# JetStream with PyTorch, for Mixtral 8x7B on TPUs: docs/images.md has the recipe.
# Upstream is unmaintained and publishes no current image. This one has never been built by this project, nor run on a TPU.
# Never install the package `jetstream-pt` instead: that name on the package index holds a dummy, not this engine.
ARG PYTHON_IMAGE=python:3.10-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# No default: this project could not look up the full id of upstream's last commit, which is of 2025-09-14. Find it by
#   git ls-remote https://github.com/AI-Hypercomputer/jetstream-pytorch.git HEAD
ARG JETSTREAM_PYTORCH_COMMIT
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN [[ "${JETSTREAM_PYTORCH_COMMIT:-}" =~ ^[0-9a-f]{40}$ ]] || { \
        echo "give the full id of a commit: --build-arg JETSTREAM_PYTORCH_COMMIT=…; see the comment in this Dockerfile" >&2; \
        exit 1; \
    }
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential ca-certificates git \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv && git init --quiet /opt/jetstream-pytorch
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/jetstream-pytorch
# The commit pins JetStream and the TPU backend of PyTorch, its submodules, by itself.
RUN git fetch --quiet --depth 1 https://github.com/AI-Hypercomputer/jetstream-pytorch.git "${JETSTREAM_PYTORCH_COMMIT}" \
    && git checkout --quiet FETCH_HEAD \
    && git submodule update --init --recursive --depth 1
# Upstream's own script: it says which versions go together, but doesn't pin all of them, so they are noted.
RUN bash -e install_everything.sh && pip freeze > /opt/jetstream-pytorch/versions.txt && jpt list | grep --quiet Mixtral-8x7B

FROM ${PYTHON_IMAGE}
# The user has no home of its own; libraries keep caches there.
ENV HOME=/tmp PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/jetstream-pytorch /opt/jetstream-pytorch
WORKDIR /opt/jetstream-pytorch
USER 65532:65532
CMD ["jpt", "list"]
