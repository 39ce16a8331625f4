"""One folder per Lambda. Each handler parses its event, calls a service, maps the result.

What is loaded while a function starts is there to stay: to look through it for garbage, again and again as it grows,
takes an eighth of the start. ``shared.bootstrap.prewarm`` ends that.
"""

import gc
import os

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    gc.disable()
