"""A Cognito user pool: people sign up there, and their access tokens are taken here (docs/tokens.md)."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from infra.stage import USER_POOL_PREFIX, Capabilities, StageConfig
from shared.domain.issuer import Issuer


class UserPool(Construct):
    """Users with an e-mail address and a password, a second factor if they want one; a public client for browsers.

    Attributes:
        pool: The pool.
        client: The client; it has no secret.
        issuer: What functions take the pool's tokens by.
    """

    def __init__(self, scope: Construct, construct_id: str, *, stage: StageConfig, capabilities: Capabilities) -> None:
        super().__init__(scope, construct_id)
        self.pool = cognito.UserPool(
            self,
            "Pool",
            self_sign_up_enabled=True,
            sign_in_aliases=cognito.SignInAliases(email=True),
            auto_verify=cognito.AutoVerifiedAttrs(email=True),
            keep_original=cognito.KeepOriginalAttrs(email=True),  # an address counts once it has been verified
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            password_policy=cognito.PasswordPolicy(
                min_length=12,
                require_lowercase=True,
                require_uppercase=True,
                require_digits=True,
                require_symbols=True,
                temp_password_validity=Duration.days(1),
            ),
            mfa=cognito.Mfa.OPTIONAL,
            mfa_second_factor=cognito.MfaSecondFactor(otp=True, sms=False),
            # Guards against stolen passwords and odd sign-ins; the plan that has it is paid for by the user:
            # docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pool-settings-threat-protection.html
            feature_plan=cognito.FeaturePlan.PLUS,
            standard_threat_protection_mode=cognito.StandardThreatProtectionMode.FULL_FUNCTION,
            deletion_protection=stage.removal_policy == RemovalPolicy.RETAIN,
            removal_policy=stage.removal_policy,
        )
        self.client = self.pool.add_client(
            "Client",
            generate_secret=False,  # a browser keeps none
            auth_flows=cognito.AuthFlow(user_srp=True),  # the password itself is never sent
            disable_o_auth=True,
            prevent_user_existence_errors=True,
            enable_token_revocation=True,
            access_token_validity=Duration.hours(1),
            id_token_validity=Duration.hours(1),
            refresh_token_validity=Duration.days(30),
        )
        url = self.pool.user_pool_provider_url
        self.issuer = Issuer(
            url=url,
            audiences=(self.client.user_pool_client_id,),
            user_prefix=USER_POOL_PREFIX,
            capabilities=capabilities,
            # Access tokens have no aud:
            # docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
            audience_claim="client_id",
            # docs.aws.amazon.com/cognito/latest/developerguide/, "Verifying JSON web tokens"
            jwks_url=f"{url}/.well-known/jwks.json",
        )
