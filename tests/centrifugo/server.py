"""A server that calls Centrifugo's HTTP API by its Python library: ``server.py <api url> <api key> <channel> <user>``.

To be run by that library's own environment. Says what it was answered, as JSON.
"""

import json
import sys

from cent import (  # type: ignore[import-not-found]  # in the environment beside it
    BatchRequest,
    BroadcastRequest,
    CentApiResponseError,
    ChannelsRequest,
    Client,
    DisconnectRequest,
    HistoryRequest,
    InfoRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
)


def main() -> None:
    """Call."""
    url, key, channel, user = sys.argv[1:]
    client = Client(url, key)
    told: dict[str, object] = {}
    told["publish"] = client.publish(PublishRequest(channel=channel, data={"n": 1})).offset
    broadcast = client.broadcast(BroadcastRequest(channels=[channel, "user:wrong"], data={"n": 2}))
    told["broadcast"] = [one.error.code if one.error else one.result.offset for one in broadcast.responses]
    requests = [PublishRequest(channel=channel, data={"n": 3}), PresenceStatsRequest(channel=channel)]
    published, stats = client.batch(BatchRequest(requests=requests)).replies
    told["batch"] = [published.offset, stats.num_clients]
    history = client.history(HistoryRequest(channel=channel, limit=10))
    told["history"] = [one.data for one in history.publications]
    presence = client.presence(PresenceRequest(channel=channel)).presence
    told["presence"] = sorted(one.user for one in presence.values())
    told["info"] = client.info(InfoRequest()).nodes
    try:
        client.channels(ChannelsRequest())
    except CentApiResponseError as error:
        told["channels"] = error.code
    client.disconnect(DisconnectRequest(user=user))
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
