# The service, ready for PostgreSQL (compose.yaml) or, with a volume on /var/lib/keybearer, for its own SQLite file.
#   docker build -t keybearer .

FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN python -m venv /opt/keybearer \
 && /opt/keybearer/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements/runtime.txt \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /build/dist \
 && /opt/keybearer/bin/pip install --no-cache-dir --no-deps --no-index /build/dist/*.whl \
 && /opt/keybearer/bin/pip uninstall --yes pip

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/keybearer --create-home keybearer
COPY --from=build /opt/keybearer /opt/keybearer
ENV PATH=/opt/keybearer/bin:$PATH PYTHONUNBUFFERED=1 KEYBEARER_HOST=0.0.0.0
USER keybearer
WORKDIR /var/lib/keybearer
VOLUME /var/lib/keybearer
EXPOSE 8100
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", \
  "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8100/health/live', timeout=2)"]
ENTRYPOINT ["keybearer"]
CMD ["serve"]
