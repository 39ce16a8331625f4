#!/bin/sh
# Starts the app as AWS Lambda Web Adapter wants it: the handler is this file, and the adapter asks at AWS_LWA_PORT.
# Source: github.com/aws/aws-lambda-web-adapter, docs/guide/src/getting-started/zip-packages.md
# A layer's modules and the runtime's boto3 are found by Lambda's own start alone, which the adapter takes the place of.
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}/opt/python${LAMBDA_RUNTIME_DIR:+:$LAMBDA_RUNTIME_DIR}"
exec python3 -m uvicorn functions.http_api.stream:app --host 127.0.0.1 --port "$AWS_LWA_PORT" \
    --no-access-log --no-proxy-headers --log-level warning --lifespan off
