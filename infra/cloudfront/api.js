import cf from "cloudfront";

// At CloudFront, for each request to the API. The import has to be the first line:
// docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/helper-functions-origin-modification.html

// API Gateway's WebSocket API is at its stage's name.
const WEBSOCKET = { asked: "/v1/ws", there: "/v1" };
const POLL = /^\/v1\/sessions\/[^/]+\/frames$/;

function handler(event) {
  const request = event.request;
  // Whatever a client has put there is gone.
  request.headers["x-tidewire-viewer"] = { value: event.viewer.ip };
  if (request.uri === WEBSOCKET.asked) request.uri = WEBSOCKET.there;
  const wait = request.querystring.wait_s;
  // To be held costs less where streams are; frames are sent to the same path, which only the other takes.
  if (request.method === "GET" && wait && wait.value !== "0" && POLL.test(request.uri)) {
    cf.selectRequestOriginById("stream");
  }
  return request;
}
