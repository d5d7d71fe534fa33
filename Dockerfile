# The operator's image: docs/images.md says how to build and push it.
#
# The base is pinned by its tag and not by a digest, because whoever wrote this could not ask a registry for one. Give yours:
#   docker build --build-arg PYTHON_IMAGE=python:3.12-slim-bookworm@sha256:… .
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY docker/operator/build.lock docker/operator/run.lock docker/operator/
RUN python -m venv /opt/mistral-operator
RUN /opt/mistral-operator/bin/python -m pip install --require-hashes --only-binary=:all: -r docker/operator/run.lock
RUN python -m pip install --require-hashes --only-binary=:all: -r docker/operator/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN python -m pip wheel --no-deps --no-build-isolation --no-index --wheel-dir wheels .
RUN /opt/mistral-operator/bin/python -m pip install --no-deps --no-index --find-links wheels mistral-operator
RUN /opt/mistral-operator/bin/python -m pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="mistral-operator" org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/mistral-operator/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/mistral-operator /opt/mistral-operator
# By number, so that the kubelet sees that it isn't root. The file system may be read-only.
USER 65532:65532
ENTRYPOINT ["mistral-operator"]
CMD ["--help"]
