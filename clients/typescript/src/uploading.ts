/** A request that tells how much of its body has gone, which `fetch` never does. It fails and answers as `fetch` would. */
export function uploading(url: string, init: RequestInit, onSent: (bytes: number) => void, timeoutMs: number): Promise<Response> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const fail = (why: string) => () => reject(new TypeError(why));
    request.upload.onprogress = ({ loaded }) => onSent(loaded);
    request.onload = () => {
      const headers = request.getAllResponseHeaders().split("\r\n").filter(Boolean).map((line) => line.split(/: (.*)/, 2) as [string, string]);
      resolve(new Response(request.status === 204 ? null : (request.response as Blob), { status: request.status, headers }));
    };
    request.onerror = fail("The connection failed.");
    request.onabort = fail("The connection was given up.");
    request.ontimeout = fail("The server took too long.");
    request.open(init.method ?? "POST", url);
    request.responseType = "blob";
    request.timeout = timeoutMs;
    for (const [name, value] of new Headers(init.headers)) request.setRequestHeader(name, value);
    request.send(init.body as XMLHttpRequestBodyInit);
  });
}
