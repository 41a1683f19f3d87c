# One image for each family of functions (shared/manifests/images.py). They share all layers but the packages, and
# what one container of it serves is said by its command, or by FUNCTION.
#
# BASE is any image with Python 3.11 or newer and its venv. For a release give it by its digest:
#   --build-arg BASE=docker.io/library/python:3.13-slim-bookworm@sha256:<digest>
# LOCK names the file, or files, with all of the family's packages and their hashes; nothing else is installed, whatever
# they ask for. Where packages come from is the business of pip's own configuration, which is mounted and kept in no
# layer: --secret id=pip,src=/etc/pip.conf
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS runtime
# A read-only container can keep no compiled module, so none is left to compile; and nothing here installs anything.
RUN set -eu; \
    lib="$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"; \
    for part in ensurepip idlelib lib2to3 test tkinter turtledemo; do rm -rf "${lib:?}/$part"; done; \
    rm -rf "$lib"/site-packages/* /usr/lib/python3/dist-packages/* /usr/share/python-wheels /usr/local/bin/pip* \
        /usr/local/bin/idle* /usr/local/bin/2to3*; \
    python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash "$lib"

FROM ${BASE} AS packages
ARG LOCK=requirements.lock
COPY requirements*.lock /build/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    set -eu; \
    python3 -m venv /build/pip; \
    python3 -m venv --without-pip /opt/venv; \
    /build/pip/bin/python -m pip --python /opt/venv/bin/python install --quiet --disable-pip-version-check \
        --no-cache-dir --no-compile --no-deps --require-hashes \
        $(printf -- ' -r /build/%s' $LOCK); \
    /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM ${BASE} AS code
COPY events /app/events
COPY functions /app/functions
COPY shared /app/shared
COPY ui /app/ui
# Whatever a checkout's modes are, everybody may read and nobody but root may write.
RUN set -eu; \
    python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /app; \
    chmod -R u=rwX,go=rX /app

FROM runtime
COPY --from=packages /opt/venv /opt/venv
COPY --from=code /app /app
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    PORT=8080
WORKDIR /app
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s CMD ["python", "-m", "shared.probe"]
ENTRYPOINT ["python", "-m", "functions"]
CMD ["serve"]
# What differs from image to image comes last.
ARG BASE
ARG EXTRAS=""
ARG FUNCTION=""
ARG VERSION=""
ARG REVISION=""
ARG CREATED=""
ENV FUNCTION=${FUNCTION}
LABEL org.opencontainers.image.title="sutazai" \
    org.opencontainers.image.description="An agent platform made of functions" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}" \
    org.opencontainers.image.base.name="${BASE}" \
    sutazai.extras="${EXTRAS}" \
    sutazai.function="${FUNCTION}"
