/**
 * Signing per Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, in base64.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define([], () => {
    /**
     * The headers of a signed request. `hmac(text)` gives the HMAC-SHA256 of the text under the account's secret in
     * base64; the secret itself is nowhere to be seen here.
     */
    const headers = (id, nowMs, body, hmac) => {
        const seconds = String(Math.floor(nowMs / 1000));
        return {
            'Content-Type': 'application/json',
            'webhook-id': id,
            'webhook-timestamp': seconds,
            'webhook-signature': `v1,${hmac(`${id}.${seconds}.${body}`)}`,
        };
    };

    /** Where events of an account go. The setting is ingest's address, or the full one. */
    const eventsUrl = (url, account) => {
        const base = String(url).replace(/\/+$/, '');
        return /\/events$/.test(base) ? base : `${base}/v1/accounts/${encodeURIComponent(account)}/events`;
    };

    return { headers, eventsUrl };
});
