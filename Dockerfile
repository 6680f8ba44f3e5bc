# The atlas as a service: the image of the dashboards, the Prefect server and the worker.
FROM python:3.12-slim

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 DO_NOT_TRACK=1
RUN useradd --create-home --uid 1000 atlas && install -d -o atlas -g atlas /data
WORKDIR /app

# packages first: they change less often than the code
COPY requirements.lock requirements-workers.lock ./
RUN pip install -r requirements-workers.lock
COPY . .
RUN pip install --no-deps --no-build-isolation .

USER atlas
ENV ATLAS_HOME=/data
WORKDIR /data
ENTRYPOINT ["feature-atlas"]
CMD ["status"]
