"""What holds data: its keys and its protection."""

import pytest

from shared.contract import PK, SK, TTL_ATTRIBUTE
from tests.infra.template import STATEFUL, TABLES, Synthesised

_TABLE = "AWS::DynamoDB::GlobalTable"


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_paid_by_request_and_can_be_restored_and_forgets(stage: Synthesised, table: str) -> None:
    properties = stage.of_type(_TABLE)[STATEFUL[table]]
    (replica,) = properties["Replicas"]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert replica["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["TimeToLiveSpecification"] == {"AttributeName": TTL_ATTRIBUTE, "Enabled": True}


@pytest.mark.parametrize(("table", "sort_key"), [(table, "N" if table == "streams" else "S") for table in TABLES])
def test_a_tables_sort_key_is_text_but_streams_sort_by_offset(stage: Synthesised, table: str, sort_key: str) -> None:
    properties = stage.of_type(_TABLE)[STATEFUL[table]]
    assert {item["AttributeName"]: item["KeyType"] for item in properties["KeySchema"]} == {PK: "HASH", SK: "RANGE"}
    types = {item["AttributeName"]: item["AttributeType"] for item in properties["AttributeDefinitions"]}
    assert types == {PK: "S", SK: sort_key}


@pytest.mark.parametrize("name", [*TABLES, "token secret"])
def test_data_of_prod_outlives_the_stack_and_that_of_dev_does_not(
    dev: Synthesised, prod: Synthesised, name: str
) -> None:
    policies = [
        (resource["DeletionPolicy"], resource["UpdateReplacePolicy"])
        for resource in (synthesised.document["Resources"][STATEFUL[name]] for synthesised in (dev, prod))
    ]
    assert policies == [("Delete", "Delete"), ("Retain", "Retain")]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_prod_cannot_be_deleted_by_mistake(dev: Synthesised, prod: Synthesised, table: str) -> None:
    protection = [
        synthesised.of_type(_TABLE)[STATEFUL[table]]["Replicas"][0]["DeletionProtectionEnabled"]
        for synthesised in (dev, prod)
    ]
    assert protection == [False, True]


def test_the_token_secret_is_made_by_aws_and_long_enough_for_hs256(stage: Synthesised) -> None:
    generated = stage.of_type("AWS::SecretsManager::Secret")[STATEFUL["token secret"]]["GenerateSecretString"]
    # 32 bytes at least: datatracker.ietf.org/doc/html/rfc7518#section-3.2
    assert generated == {"ExcludePunctuation": True, "PasswordLength": 64}
