"""The built pages in a bucket that CloudFront alone reads."""

from typing import Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_deployment as deployment
from constructs import Construct

from infra.packaging import ROOT
from infra.stage import StageConfig

_BUILT: Final = ROOT / "web" / "dist"
_PARTS: Final = "parts"  # their names have hashes of what is in them (web/build.js)


class PagesBucket(Construct):
    """Parts for a year, since another content has another name; all else is asked for anew, and told by its tag."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: StageConfig) -> None:
        super().__init__(scope, construct_id)
        if not _BUILT.is_dir():
            raise SystemExit("web/dist is not there: npm run build -w web")
        self._bucket = s3.Bucket(
            self,
            "Bucket",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            removal_policy=RemovalPolicy.DESTROY,
            auto_delete_objects=True,
        )
        # What is listed is not there, where else it would be forbidden. No request lists the bucket itself: pages.js.
        self.origin = origins.S3BucketOrigin.with_origin_access_control(
            self._bucket, origin_access_levels=[cloudfront.AccessLevel.READ, cloudfront.AccessLevel.LIST]
        )
        parts = self._deployed("Parts", f"{_BUILT.name}/{_PARTS}", ["*.map"], "public, max-age=31536000, immutable")
        hidden = [] if stage.demo else ["demo"]
        files = self._deployed("Files", _BUILT.name, ["*.map", _PARTS, *hidden], "no-cache")
        files.node.add_dependency(parts)  # no page before what it loads

    def _deployed(
        self, construct_id: str, folder: str, exclude: list[str], cache_control: str
    ) -> deployment.BucketDeployment:
        return deployment.BucketDeployment(
            self,
            construct_id,
            destination_bucket=self._bucket,
            destination_key_prefix=_PARTS if folder.endswith(_PARTS) else None,
            sources=[deployment.Source.asset(str(_BUILT.parent / folder), exclude=exclude)],
            cache_control=[deployment.CacheControl.from_string(cache_control)],
            prune=False,  # a page that is open still loads parts of its own
        )
