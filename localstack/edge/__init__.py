"""The local edge: one origin, standing where CloudFront and API Gateway stand, and as strict as they are."""
