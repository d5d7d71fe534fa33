# JetStream with MaxText, for Mistral 7B v0.1, Mixtral 8x7B and Mixtral 8x22B on TPUs: docs/images.md has the recipe.
# Upstream is archived and publishes no current image. This one has never been built by this project, nor run on a TPU.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# MaxText's commit names JetStream's by itself; that both agree is checked below.
ARG MAXTEXT_COMMIT=0ff8c3fa0874265b6fe90c86127850c74e547543
ARG JETSTREAM_COMMIT=29329e8e73820993f77cfc8efe34eb2a73f5de98
ARG UV_VERSION=0.13.9
ARG TORCH_VERSION=2.9.0
# MaxText's lists don't name a version of each package, nor does JetStream's: those are as they were on its commit's day.
ARG PACKAGES_BEFORE=2026-08-23
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_CACHE=1 VIRTUAL_ENV=/opt/venv
ENV PATH=/opt/venv/bin:$PATH
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential ca-certificates git \
    && rm -rf /var/lib/apt/lists/*
RUN git init --quiet /opt/maxtext
WORKDIR /opt/maxtext
RUN git fetch --quiet --depth 1 https://github.com/AI-Hypercomputer/maxtext.git "${MAXTEXT_COMMIT}" \
    && git checkout --quiet FETCH_HEAD \
    && grep --quiet "JetStream/archive/${JETSTREAM_COMMIT}.zip" src/dependencies/extra_deps/jetstream_github_deps.txt
RUN python3 -m venv /opt/venv && pip install "uv==${UV_VERSION}"
RUN uv pip install --exclude-newer="${PACKAGES_BEFORE}" --resolution=lowest -r src/dependencies/requirements/generated_requirements/tpu-requirements.txt
RUN uv pip install --no-deps -r src/dependencies/extra_deps/pre_train_github_deps.txt \
        -r src/dependencies/extra_deps/jetstream_github_deps.txt \
    && uv pip install --exclude-newer="${PACKAGES_BEFORE}" -r src/dependencies/extra_deps/tf_requirements.txt
# What JetStream's package declares beside; what is there already stays as MaxText pins it.
RUN uv pip install --exclude-newer="${PACKAGES_BEFORE}" \
        blobfile grpcio portpicker prometheus-client shortuuid tiktoken
# Only for converting checkpoints, on CPUs.
RUN uv pip install --torch-backend=cpu "torch==${TORCH_VERSION}"
RUN uv pip install --no-deps -e . && rm -rf .git
# What would otherwise be missed only on a TPU.
RUN JAX_PLATFORMS=cpu python3 -c "import huggingface_hub, google.cloud.storage, jetstream.core.server_lib; \
import maxtext.inference.maxengine.maxengine_config, maxtext.checkpoint_conversion.to_maxtext"

FROM ${PYTHON_IMAGE}
# The user has no home of its own; libraries keep caches there.
ENV HOME=/tmp PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/maxtext /opt/maxtext
COPY docker/jetstream-maxtext/checkpoint_bucket.py docker/jetstream-maxtext/convert_checkpoint.py /opt/mistral-operator/
WORKDIR /opt/maxtext
USER 65532:65532
CMD ["python3", "-m", "maxtext.inference.maxengine.maxengine_server", "/opt/maxtext/src/maxtext/configs/base.yml"]
