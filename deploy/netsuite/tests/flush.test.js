const { createHmac } = require('crypto');
const { Account, failure } = require('./fakes/account');
const { script } = require('./fakes/load');

const OUTBOX = 'customrecord_concord_outbox';

describe('the flush', () => {
    let account;
    let flush;

    beforeEach(() => {
        account = new Account();
        account.parameters = {
            custscript_concord_mr_url: 'https://ingest.example', custscript_concord_mr_secret: 'custsecret_concord',
        };
        flush = script(account, 'concord_flush');
    });

    const row = (n, body) => account.seed(OUTBOX, {
        custrecord_concord_ob_event: `event-${n}`, custrecord_concord_ob_attempts: 0, custrecord_concord_ob_refused: false,
        custrecord_concord_ob_body: body === undefined ? JSON.stringify({ eventId: `event-${n}`, n }) : body,
    });
    const left = () => account.all(OUTBOX).map(({ state: { values } }) => [
        values.custrecord_concord_ob_event, values.custrecord_concord_ob_attempts,
        values.custrecord_concord_ob_code ?? '', values.custrecord_concord_ob_refused,
    ]);
    const sent = () => account.requests.map(({ body }) => JSON.parse(body).map(({ eventId }) => eventId));

    /** One whole run, as the platform drives it: each map with units of its own. */
    const run = () => {
        const output = [];
        flush.getInputData().forEach((lot) => {
            account.remaining = 1000;
            flush.map({ value: JSON.stringify(lot), write: ({ key, value }) => output.push([key, value]) });
            expect(account.remaining).toBeGreaterThanOrEqual(0);
        });
        flush.summarize({
            inputSummary: { error: null },
            mapSummary: { errors: { iterator: () => ({ each: () => {} }) } },
            output: { iterator: () => ({ each: (take) => output.forEach(([key, value]) => take(key, value)) }) },
        });
        return account.logs[account.logs.length - 1].details;
    };

    const answer = (...answers) => {
        const otherwise = account.ingest;
        account.ingest = (request) => {
            const next = answers.shift();
            return next ? next(request) : otherwise(request);
        };
    };
    const problem = (...pointers) => () => ({ code: 400, body: JSON.stringify({ errors: pointers.map((pointer) => ({ pointer })) }) });

    it('sends what waits, oldest first, and deletes what was acknowledged', () => {
        [1, 2, 3].forEach((n) => row(n));
        expect(run()).toBe('delivered 3, kept 0, refused 0, failed 0');
        expect(sent()).toEqual([['event-1', 'event-2', 'event-3']]);
        expect(left()).toEqual([]);
    });

    it('sends nothing when nothing waits', () => {
        expect(run()).toBe('delivered 0, kept 0, refused 0, failed 0');
        expect(account.requests).toEqual([]);
    });

    it('signs each request at the moment it is sent, however old its events are', () => {
        row(1);
        const now = jest.spyOn(Date, 'now').mockReturnValue(Date.parse('2026-12-24T08:00:00.999Z'));
        run();
        now.mockRestore();
        const { url, headers, body } = account.requests[0];
        expect(url).toBe('https://ingest.example/v1/accounts/TSTDRV100001/events');
        expect(headers['webhook-timestamp']).toBe(String(Date.parse('2026-12-24T08:00:00Z') / 1000));
        const key = Buffer.from(account.secrets.custsecret_concord, 'base64');
        const text = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
        expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', key).update(text).digest('base64')}`);
    });

    it('puts at most a hundred events into a request, within the units of a map', () => {
        Array.from({ length: 250 }, (_, n) => row(n));
        expect(run()).toBe('delivered 250, kept 0, refused 0, failed 0');
        expect(sent().map((events) => events.length)).toEqual([100, 100, 50]);
    });

    it('puts less than a mebibyte into a request', () => {
        const big = (n) => JSON.stringify({ eventId: `event-${n}`, text: 'ü'.repeat(200000) });
        [1, 2, 3].forEach((n) => row(n, big(n)));
        expect(run()).toBe('delivered 3, kept 0, refused 0, failed 0');
        expect(sent()).toEqual([['event-1', 'event-2'], ['event-3']]);
    });

    it('deletes only the events that are named as accepted', () => {
        [1, 2, 3].forEach((n) => row(n));
        answer(() => ({ code: 202, body: JSON.stringify({ accepted: [{ eventId: 'event-1' }, { eventId: 'event-3' }] }) }));
        expect(run()).toBe('delivered 2, kept 1, refused 0, failed 0');
        expect(left()).toEqual([['event-2', 1, 'not_accepted', false]]);
    });

    it.each([['{}'], ['no JSON'], ['{"accepted":{}}'], ['']])('deletes nothing on a 202 that says %j', (body) => {
        row(1);
        answer(() => ({ code: 202, body }));
        run();
        expect(left()).toEqual([['event-1', 1, 'not_accepted', false]]);
    });

    it('sets aside the events ingest finds fault with, and sends the others at once', () => {
        [1, 2, 3].forEach((n) => row(n));
        answer(problem('/1/recordId', '/1/timestamp'));
        expect(run()).toBe('delivered 2, kept 0, refused 1, failed 0');
        expect(sent()).toEqual([['event-1', 'event-2', 'event-3'], ['event-1', 'event-3']]);
        expect(left()).toEqual([['event-2', 1, 'http_400', true]]);
        expect(account.logs[account.logs.length - 1].level).toBe('error');
        run();
        expect(account.requests).toHaveLength(2);
    });

    it('keeps all when a 400 names none of them, and does not go round in circles when every try finds another', () => {
        [1, 2, 3].forEach((n) => row(n));
        answer(problem(''), problem('/0'), problem('/0'));
        run();
        expect(left().map(([, attempts, , refused]) => [attempts, refused])).toEqual([[1, false], [1, false], [1, false]]);
        run();
        expect(account.requests).toHaveLength(3);
        expect(left().map(([event, attempts, , refused]) => [event, attempts, refused])).toEqual([
                ['event-1', 2, true], ['event-2', 2, false], ['event-3', 2, false],
            ]);
    });

    it('sets aside a row whose text is no envelope, and sends the others', () => {
        row(1, '');
        row(2, '[1]');
        row(3);
        expect(run()).toBe('delivered 1, kept 0, refused 2, failed 0');
        expect(left()).toEqual([['event-1', 1, 'unreadable', true], ['event-2', 1, 'unreadable', true]]);
    });

    it.each([500, 503, 429, 401, 413])('keeps rows on a %i, counts the attempt and stops for a while', (code) => {
        Array.from({ length: 150 }, (_, n) => row(n));
        const accepting = account.ingest;
        account.ingest = () => ({ code, body: 'no matter' });
        expect(run()).toBe('delivered 0, kept 100, refused 0, failed 0');
        expect(account.requests).toHaveLength(1);
        expect(left()[0]).toEqual(['event-0', 1, `http_${code}`, false]);
        expect(left()[149]).toEqual(['event-149', 0, '', false]);
        account.ingest = accepting;
        expect(run()).toBe('delivered 0, kept 0, refused 0, failed 0');
        account.cached.clear();
        expect(run()).toBe('delivered 150, kept 0, refused 0, failed 0');
    });

    it('keeps rows when the request fails, and logs the code alone', () => {
        row(1);
        account.ingest = () => { throw failure('SSS_REQUEST_TIME_EXCEEDED', 'a value a user typed'); };
        run();
        expect(left()).toEqual([['event-1', 1, 'SSS_REQUEST_TIME_EXCEEDED', false]]);
        expect(account.logged()).not.toContain('a user typed');
    });

    it('goes on without the cache', () => {
        row(1);
        account.broken.add('N/cache');
        expect(run()).toBe('delivered 1, kept 0, refused 0, failed 0');
    });

    it('passes over rows that another run has deleted meanwhile', () => {
        const first = row(1);
        row(2);
        account.interfere = (operation, type, id) => {
            if (operation === 'load' && id === first) account.stored.delete(account.key(type, first));
        };
        expect(run()).toBe('delivered 1, kept 0, refused 0, failed 0');
    });

    it('counts rows that were delivered but could not be deleted, which only means they are sent again', () => {
        row(1);
        row(2);
        account.interfere = (operation) => { if (operation === 'delete') throw failure('UNEXPECTED_ERROR'); };
        expect(run()).toBe('delivered 0, kept 0, refused 0, failed 0');
        expect(account.logs[0]).toMatchObject({ level: 'error', details: '2 to be deleted' });
        account.interfere = () => {};
        expect(run()).toBe('delivered 2, kept 0, refused 0, failed 0');
    });

    it('takes fewer rows rather than run out of units in their middle', () => {
        const lot = Array.from({ length: 20 }, (_, n) => row(n));
        account.remaining = 100;
        flush.map({ value: JSON.stringify(lot), write: () => {} });
        expect(sent()[0].length).toBeGreaterThan(5);
        expect(left()).toHaveLength(20 - sent()[0].length);
        expect(account.remaining).toBeGreaterThanOrEqual(0);
    });

    it.each(['url', 'secret'])('does nothing but complain without a %s', (name) => {
        row(1);
        account.parameters[`custscript_concord_mr_${name}`] = null;
        expect(flush.getInputData()).toEqual([]);
        expect(account.logs).toHaveLength(1);
        expect(account.logs[0].level).toBe('error');
    });
});
