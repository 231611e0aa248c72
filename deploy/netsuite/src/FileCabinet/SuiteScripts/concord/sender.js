/**
 * One signed request to ingest. The secret stays in NetSuite's secret store: the script only names it.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define(['N/crypto', 'N/encode', 'N/https', './webhooks', './envelope'], (crypto, encode, https, webhooks, envelope) => {
    const hmacWith = (secret) => (text) => {
        // The stored secret is the base64 part of `whsec_…`: decoded it is the key.
        const key = crypto.createSecretKey({ secret, encoding: encode.Encoding.BASE_64 });
        const hmac = crypto.createHmac({ algorithm: crypto.HashAlg.SHA256, key });
        hmac.update({ input: text, inputEncoding: encode.Encoding.UTF_8 });
        return hmac.digest({ outputEncoding: encode.Encoding.BASE_64 });
    };

    /** Posts a body, signed for this very moment; answers `{status, body}`. */
    const post = (settings, body, nowMs) => {
        const id = `msg_${envelope.uuid(Math.random).replace(/-/g, '')}`;
        const headers = webhooks.headers(id, nowMs, body, hmacWith(settings.secret));
        const response = https.post({ url: settings.url, headers, body });
        return { status: response.code, body: response.body };
    };

    return { post };
});
