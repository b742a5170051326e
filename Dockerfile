# duopoly with films, the robots of Gymnasium-Robotics and exports, on the CPU.
#
#     docker build --tag duopoly .
#     docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/work" duopoly train Hopper-v5
#
# Debian's release is named, so that the names of its packages hold.
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN PIP_BUILD_CONSTRAINT=constraints.txt PIP_CONSTRAINT=constraints.txt \
    python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
# OpenGL in software, by EGL, with which MuJoCo draws; ffmpeg comes with the extra `video`.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libegl1 libgl1 libgl1-mesa-dri \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
ARG EXTRAS=video,robotics,export
RUN python -m pip install --no-cache-dir --constraint /wheels/constraints.txt \
    "$(echo /wheels/*.whl)[$EXTRAS]"
# Anyone may write in these two, so that --user can name whoever is to own the runs.
RUN useradd --create-home --home-dir /var/lib/duopoly duopoly \
    && chmod 1777 /var/lib/duopoly \
    && install --directory --mode 1777 /work
ENV HOME=/var/lib/duopoly
USER duopoly
WORKDIR /work
ENTRYPOINT ["duopoly"]
CMD ["--help"]
