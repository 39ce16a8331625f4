// At CloudFront, for each request to the pages: the bucket has files, and pages have shorter names.
const PAGES = { "/": "/demo/index.html", "/console": "/console/index.html" };

function handler(event) {
  const request = event.request;
  request.uri = PAGES[request.uri] || request.uri;
  return request;
}
