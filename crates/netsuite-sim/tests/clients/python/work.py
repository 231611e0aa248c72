"""What an integration does all day, with the PyPI package `netsuite` and nothing of our own but the address.

Usage: work.py BASE_URL ACCOUNT. Prints one line of JSON that says what it saw.
"""

import asyncio
import json
import sys

from netsuite import Config, NetSuiteRestApi, NetSuiteRestlet
from netsuite.exceptions import NetsuiteAPIRequestError

BASE, ACCOUNT = sys.argv[1:3]
QUERY = "customscript_concord_query"


class Api(NetSuiteRestApi):
    """The package's client; its https host names are the one thing that has to lead here."""

    def _make_url(self, subpath):
        return f"{BASE}/services/rest{subpath}"


class Restlet(NetSuiteRestlet):
    def _make_url(self, subpath):
        return f"{BASE}/app/site/hosting/restlet.nl{subpath}"


def config(account=ACCOUNT):
    auth = {"consumer_key": "ck", "consumer_secret": "cs", "token_id": "tk", "token_secret": "ts"}
    return Config(account=account, auth=auth)


async def pages(api, query, limit):
    offset, items = 0, []
    while True:
        page = await api.suiteql(q=query, limit=limit, offset=offset)
        assert page["count"] == len(page["items"]) <= limit
        items += page["items"]
        if not page["hasMore"]:
            assert len(items) == page["totalResults"]
            return items
        offset += limit


async def records(api):
    address = {"addr1": "1 Main Street", "city": "Oakland", "state": "CA", "country": {"id": "US"}}
    body = {
        "companyName": "Made in Python",
        "creditLimit": 12.5,
        "terms": {"id": "2"},
        "addressBook": {"items": [{"label": "Office", "defaultBilling": True, "addressBookAddress": address}]},
    }
    made = await api.request("POST", "/record/v1/customer", json=body)
    assert made.status_code == 204 and made.text == "", made.text
    customer = made.headers["location"].rsplit("/", 1)[1]
    shown = await api.get(f"/record/v1/customer/{customer}", params={"expandSubResources": "true"})
    assert shown["creditLimit"] == 12.5 and shown["terms"]["refName"] == "Net 30", shown
    assert shown["addressBook"]["items"][0]["addressBookAddress"]["city"] == "Oakland", shown
    assert await api.patch(f"/record/v1/customer/{customer}", json={"phone": "+1 510 555 0100"}) is None
    await api.put("/record/v1/vendor/eid:PY-1", json={"companyName": "Upserted"})
    await api.put("/record/v1/vendor/eid:PY-1", json={"companyName": "Upserted Twice"})
    vendor = await api.get("/record/v1/vendor/eid:PY-1")
    assert vendor["companyName"] == "Upserted Twice", vendor
    found = await api.get("/record/v1/customer", params={"q": 'companyName START_WITH "Made in"'})
    assert [item["id"] for item in found["items"]] == [customer], found
    doomed = await api.request("POST", "/record/v1/contact", json={"entityId": "Short Lived"})
    assert await api.delete("/record/v1/contact/" + doomed.headers["location"].rsplit("/", 1)[1]) is None
    return customer


async def refusals(api):
    seen = {}
    for name, call in {
        "column": lambda: api.suiteql(q="SELECT nothing FROM customer"),
        "table": lambda: api.suiteql(q="SELECT id FROM nothing"),
        "absent": lambda: api.get("/record/v1/customer/999999"),
        "field": lambda: api.post("/record/v1/customer", json={"companyName": "X", "shoeSize": 1}),
        "login": lambda: Api(config(ACCOUNT + "_SB9")).get("/record/v1/customer"),
    }.items():
        try:
            await call()
        except NetsuiteAPIRequestError as error:
            detail = json.loads(error.response_text)["o:errorDetails"][0]
            seen[name] = [error.status_code, detail["o:errorCode"], detail["detail"]]
    return seen


async def main():
    api, restlet = Api(config()), Restlet(config())
    everyone = await pages(api, "SELECT id, companyname FROM customer ORDER BY id", 5)
    customer = await records(api)
    rows = await restlet.post(
        QUERY,
        deploy="customdeploy_concord_query",
        json={"query": "SELECT COUNT(*) AS n FROM customer", "limit": 10, "offset": 0},
    )
    schema = await api.jsonschema("customer")
    openapi = await api.openapi(["customer", "salesOrder"])
    print(
        json.dumps(
            {
                "paged": len(everyone),
                "customer": customer,
                "restlet": rows["rows"][0]["n"],
                "schema": schema["properties"]["creditLimit"]["type"],
                "openapi": sorted(openapi["components"]["schemas"]),
                "refusals": await refusals(api),
            }
        )
    )


asyncio.run(main())
