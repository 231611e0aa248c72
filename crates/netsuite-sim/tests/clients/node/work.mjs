// What an integration does all day, with the npm package `netsuite-rest` as it is.
// Usage: work.mjs BASE_URL ACCOUNT. Prints one line of JSON that says what it saw.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import process from "node:process";

// The package lies where the set-up put it, not beside this file.
const NetsuiteRest = createRequire(`${process.env.CLIENT_FOLDER}/`)("netsuite-rest");
const [base, account] = process.argv.slice(2);

const client = (token = "tk") =>
  new NetsuiteRest({
    consumer_key: "ck",
    consumer_secret_key: "cs",
    token,
    token_secret: "ts",
    realm: account,
    base_url: base,
  });
const api = client();
const send = (method, path, body) =>
  api.request({ path, method, body: JSON.stringify(body), heads: { "content-type": "application/json" } });

// The package hands on a copy of the answer, whose headers are only there as they came.
const located = ({ rawHeaders }) => rawHeaders[rawHeaders.findIndex((name) => name.toLowerCase() === "location") + 1];

const health = await api.request({ path: "*", method: "OPTIONS" });
assert.equal(health.statusCode, 204);

// Pages are followed by their links, as the answers give them.
const query = { q: "SELECT id, companyname FROM customer ORDER BY id" };
let path = "query/v1/suiteql?limit=5";
let paged = 0;
while (path) {
  // This package sends no content type with a query.
  const { data } = await api.request({ path, method: "POST", body: JSON.stringify(query) });
  paged += data.items.length;
  const next = data.links.find((link) => link.rel === "next");
  assert.equal(data.hasMore, next !== undefined);
  path = next && next.href.slice(`${base}/services/rest/`.length);
}

// The query of the package's own description, line ends inside the JSON text and all.
const written = await api.request({
  path: "query/v1/suiteql?limit=5",
  method: "POST",
  body: `{
		"q":
		"SELECT
			id, companyName, email, dateCreated
         FROM customer WHERE
            dateCreated >= '01/01/2019'
           	AND dateCreated < '01/01/2020'"
	}`,
});
assert.deepEqual([written.statusCode, written.data.count], [200, 0]);

const made = await send("POST", "record/v1/customer", { companyName: "Made in Node", email: "office@node.example" });
assert.equal(made.statusCode, 204);
const location = located(made);
const customer = location.split("/").pop();
const own = location.slice(`${base}/services/rest/`.length);
await send("PATCH", own, { creditLimit: 99.5, comments: "Grüße" });
const shown = (await api.request({ path: own })).data;
assert.deepEqual([shown.creditLimit, shown.comments, shown.links[0].href], [99.5, "Grüße", location]);

const item = await send("POST", "record/v1/inventoryItem", { itemId: "NODE-1", basePrice: 4 });
const order = await send("POST", "record/v1/salesOrder", {
  entity: { id: customer },
  item: { items: [{ item: { id: located(item).split("/").pop() }, quantity: 3 }] },
});
const orderPath = located(order).slice(`${base}/services/rest/`.length);
const expanded = (await api.request({ path: `${orderPath}?expandSubResources=true` })).data;
assert.deepEqual([expanded.total, expanded.item.items[0].quantity], [12, 3]);
const invoice = await api.request({ path: `${orderPath}/!transform/invoice`, method: "POST" });
assert.match(located(invoice), /\/invoice\/\d+$/);
await send("DELETE", orderPath, {});

const catalog = (await api.request({ path: "record/v1/metadata-catalog/" })).data;
const collection = (await api.request({ path: "record/v1/customer/" })).data;

const refusals = {};
const refused = async (name, call) => {
  await assert.rejects(call, (error) => {
    const detail = JSON.parse(error.response.body)["o:errorDetails"][0];
    refusals[name] = [error.response.statusCode, detail["o:errorCode"], detail.detail];
    return true;
  });
};
await refused("absent", () => api.request({ path: "record/v1/customer/999999" }));
await refused("type", () => api.request({ path: "record/v1/bad-path" }));
await refused("gone", () => api.request({ path: orderPath }));
await refused("login", () => client("other").request({ path: "record/v1/customer" }));
await refused("column", () =>
  api.request({ path: "query/v1/suiteql", method: "POST", body: JSON.stringify({ q: "SELECT nope FROM customer" }) }),
);

console.log(
  JSON.stringify({
    paged,
    customer,
    types: catalog.items.length,
    collection: collection.totalResults,
    refusals,
  }),
);
