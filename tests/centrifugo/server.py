"""A server that calls Centrifugo's HTTP API by its Python library: ``server.py <api url> <api key> <channel> <user>``.

To be run by that library's own environment. Says what it was answered, as JSON.
"""

import json
import sys

from cent import (  # type: ignore[import-not-found]  # in the environment beside it
    BatchRequest,
    BroadcastRequest,
    ChannelsRequest,
    Client,
    Disconnect,
    DisconnectRequest,
    HistoryRemoveRequest,
    HistoryRequest,
    InfoRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)

_OTHER = "room:by-the-server"
_ENDS_AT = 4_000_000_000


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
    client.subscribe(SubscribeRequest(user=user, channel=_OTHER, data={"why": "so"}))
    client.refresh(RefreshRequest(user=user, expire_at=_ENDS_AT))
    client.publish(PublishRequest(channel=_OTHER, data={"n": 4}))
    told["channels"] = client.channels(ChannelsRequest(pattern="room:by-*")).channels[_OTHER].num_clients
    (node,) = client.info(InfoRequest()).nodes
    told["info"] = [node.name, node.num_clients > 0, node.num_users > 0, node.num_channels > 1, node.num_subs > 1]
    client.unsubscribe(UnsubscribeRequest(user=user, channel=_OTHER))
    client.history_remove(HistoryRemoveRequest(channel=_OTHER))
    told["removed"] = client.history(HistoryRequest(channel=_OTHER, limit=10)).publications
    client.disconnect(DisconnectRequest(user=user, disconnect=Disconnect(code=4501, reason="closing time")))
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
