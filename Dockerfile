# firstfault as an image. Built in one stage; the other holds Python, the program, its compiled kernels and nothing else.
#
#   docker build -t firstfault --build-arg VERSION=0.1.0 .
#   docker run --read-only --tmpfs /tmp -v firstfault:/var/lib/firstfault -p 4317:4317 -p 8080:8080 firstfault
#
# tests/e2e/test_container.py carries out these steps in an empty folder; keep to RUN, COPY, ENV, WORKDIR as they are used.

ARG PYTHON_VERSION=3.11
ARG DEBIAN_RELEASE=bookworm

FROM python:${PYTHON_VERSION}-slim-${DEBIAN_RELEASE} AS base
# Compiled kernels must run on any processor of the platform, and be found though the root is read-only.
ENV NUMBA_CPU_NAME=generic \
    NUMBA_CACHE_LOCATOR_CLASSES=collector.app.sealed_cache.SealedCacheLocator

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/build && python -m venv --without-pip /opt/firstfault
COPY requirements-build.lock requirements.lock ./
RUN /opt/build/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements-build.lock
RUN /opt/build/bin/python -m pip --python /opt/firstfault install --quiet --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md ./
COPY analyzer analyzer
COPY collector collector
RUN /opt/build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /opt/build/wheels .
RUN /opt/build/bin/python -m pip --python /opt/firstfault install --quiet --no-deps --no-index --find-links /opt/build/wheels firstfault
# The last step, in a folder without sources: what is compiled is what was installed.
WORKDIR /opt/firstfault
RUN bin/python -m collector.app.warming
RUN install -d -o 65532 -g 65532 -m 0700 /opt/data

FROM base
ARG PYTHON_VERSION
ARG DEBIAN_RELEASE
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="firstfault" \
      org.opencontainers.image.description="OpenTelemetry trace analyzer: where did the trouble begin, how sure are we, and why" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="python:${PYTHON_VERSION}-slim-${DEBIAN_RELEASE}"
ENV PATH=/opt/firstfault/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
COPY --from=build /opt/firstfault /opt/firstfault
COPY --from=build --chown=65532:65532 /opt/data /var/lib/firstfault
COPY container/config.yaml /etc/firstfault/config.yaml
USER 65532:65532
WORKDIR /var/lib/firstfault
VOLUME ["/var/lib/firstfault"]
EXPOSE 4317 4318 8080 9317 8888 13133
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["/opt/firstfault/bin/python", "-m", "collector.app.probe"]
ENTRYPOINT ["firstfault"]
CMD ["serve", "--config", "/etc/firstfault/config.yaml"]
