const { createHmac } = require('crypto');
const webhooks = require('SuiteScripts/concord/webhooks');

/** A vector worked out with another tool: openssl dgst -sha256 -mac HMAC -macopt hexkey:000102…1f */
const SECRET = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=';
const VECTOR = { id: 'msg_01', at: 1614265330999, body: '{"test":2432232314}', signature: 'v1,k63MZ+q3DALXmPX2LF3gaR44PZNYyeheXtyMUPNbxaU=' };

describe('Standard Webhooks', () => {
    const hmac = (text) => createHmac('sha256', Buffer.from(SECRET, 'base64')).update(text, 'utf8').digest('base64');

    it('are signed over id, whole second and body', () => {
        const headers = webhooks.headers(VECTOR.id, VECTOR.at, VECTOR.body, hmac);
        expect(headers['webhook-signature']).toBe(VECTOR.signature);
        expect(headers['webhook-timestamp']).toBe('1614265330');
    });

    it.each([
        ['id', ['msg_02', VECTOR.at, VECTOR.body]], ['time', [VECTOR.id, VECTOR.at + 1000, VECTOR.body]],
        ['body', [VECTOR.id, VECTOR.at, `${VECTOR.body} `]],
    ])('have another signature with another %s', (_, [id, at, body]) => {
        expect(webhooks.headers(id, at, body, hmac)['webhook-signature']).not.toBe(VECTOR.signature);
    });

    it.each([
        ['https://ingest.example', 'https://ingest.example/v1/accounts/1234567_SB1/events'],
        ['https://ingest.example/base//', 'https://ingest.example/base/v1/accounts/1234567_SB1/events'],
        ['https://ingest.example/v1/accounts/X/events', 'https://ingest.example/v1/accounts/X/events'],
    ])('go from %s to %s', (url, expected) => {
        expect(webhooks.eventsUrl(url, '1234567_SB1')).toBe(expected);
    });
});
