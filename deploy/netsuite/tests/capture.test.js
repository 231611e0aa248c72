const { createHmac } = require('crypto');
const { Account, failure } = require('./fakes/account');
const { script } = require('./fakes/load');

const OUTBOX = 'customrecord_concord_outbox';

describe('the user event', () => {
    let account;
    let afterSubmit;

    beforeEach(() => {
        account = new Account();
        account.remaining = 1000;
        account.parameters = {
            custscript_concord_ue_mode: 'outbox', custscript_concord_ue_url: 'https://ingest.example/',
            custscript_concord_ue_secret: 'custsecret_concord', custscript_concord_ue_budget_ms: '2000',
        };
        ({ afterSubmit } = script(account, 'concord_ue'));
    });

    afterEach(() => jest.restoreAllMocks());

    const rows = () => account.all(OUTBOX).map((entry) => entry.state.values);
    const bodies = () => rows().map((row) => JSON.parse(row.custrecord_concord_ob_body));
    const acme = { companyname: 'Acme', email: 'a@b.example', creditlimit: 10, custentity_tags: ['1', '2'] };
    const edit = (before, after, options) => afterSubmit({
        type: 'edit',
        newRecord: account.contextRecord('customer', 42, { ...acme, ...after }, options),
        oldRecord: account.contextRecord('customer', 42, { ...acme, ...before }, options),
    });

    describe('says what was saved', () => {
        it('of an edit: the fields that differ, before and after, and who did it', () => {
            edit({}, { email: 'new@b.example', custentity_tags: ['2', '3'], isinactive: true, custentity_concord_stamp: 'x:1' });
            const [envelope] = bodies();
            expect(envelope).toEqual({
                eventId: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
                accountId: 'TSTDRV100001', recordType: 'customer', recordId: '42', eventType: 'update', source: 'UE',
                timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
                authContext: { user: '17', role: '3', executionContext: 'USERINTERFACE' },
                changes: { email: 'new@b.example', custentity_tags: ['2', '3'], isinactive: true },
                previous: { email: 'a@b.example', custentity_tags: ['1', '2'], isinactive: false },
            });
            expect(rows()[0]).toMatchObject({
                custrecord_concord_ob_event: envelope.eventId, custrecord_concord_ob_type: 'customer',
                custrecord_concord_ob_record: '42', custrecord_concord_ob_operation: 'update',
                custrecord_concord_ob_attempts: 0, custrecord_concord_ob_refused: false,
            });
        });

        it('of an edit that changed nothing of ours: the event all the same, since a doorbell too many does no harm', () => {
            edit({}, {});
            expect(bodies()[0]).toMatchObject({ eventType: 'update', changes: {}, previous: {} });
        });

        it('of a create: what is filled in, and nothing before', () => {
            const newRecord = account.contextRecord('customer', 43, { companyname: 'New', custentity_since: new Date(2026, 2, 1) });
            afterSubmit({ type: 'create', newRecord });
            expect(bodies()[0]).toMatchObject({
                recordId: '43', eventType: 'create', changes: { companyname: 'New', custentity_since: '2026-03-01' }, previous: {},
            });
            expect(Object.keys(bodies()[0].changes)).toEqual(['companyname', 'custentity_since']);
        });

        it('of an inline edit: only what was edited, though nothing else is on the record', () => {
            afterSubmit({
                type: 'xedit',
                newRecord: account.contextRecord('customer', 42, { phone: '556' }, { partial: true }),
                oldRecord: account.contextRecord('customer', 42, { ...acme, phone: '555' }),
            });
            expect(bodies()[0]).toMatchObject({ eventType: 'update' });
            expect(bodies()[0].changes).toEqual({ phone: '556' });
            expect(bodies()[0].previous).toEqual({ phone: '555' });
        });

        it('of a delete: the record and nothing more', () => {
            afterSubmit({ type: 'delete', newRecord: account.contextRecord('customer', 42, {}), oldRecord: account.contextRecord('customer', 42, acme) });
            expect(bodies()[0]).toMatchObject({ recordId: '42', eventType: 'delete' });
            expect(bodies()[0]).not.toHaveProperty('changes');
        });

        it('of a delete that shows only the old record', () => {
            afterSubmit({ type: 'delete', newRecord: null, oldRecord: account.contextRecord('customer', 42, acme) });
            expect(bodies()[0]).toMatchObject({ recordId: '42', eventType: 'delete' });
        });

        it('of an item: one type whatever the item record, under the names queries have', () => {
            afterSubmit({
                type: 'edit',
                newRecord: account.contextRecord('inventoryitem', 7, { salesdescription: 'b' }, { price: 6 }),
                oldRecord: account.contextRecord('inventoryitem', 7, { salesdescription: 'a' }, { price: 5 }),
            });
            expect(bodies()[0]).toMatchObject({
                recordType: 'item', changes: { description: 'b', baseprice: 6 }, previous: { description: 'a', baseprice: 5 },
            });
        });

        it('of an order: the lines that differ by line id, and those that went only among those before', () => {
            const line = (id, quantity) => ({ line: id, item: '21', quantity, rate: 1 });
            afterSubmit({
                type: 'approve',
                newRecord: account.contextRecord('salesorder', 9, { orderstatus: 'B' }, { lines: [line(1, 5), line(3, 2), { item: '22' }] }),
                oldRecord: account.contextRecord('salesorder', 9, { orderstatus: 'A' }, { lines: [line(1, 4), line(2, 1), line(3, 2)] }),
            });
            expect(bodies()[0]).toMatchObject({ recordType: 'salesorder', eventType: 'update' });
            expect(bodies()[0].changes).toEqual({ status: 'B', lines: { 1: { item: '21', quantity: 5, rate: 1 } } });
            expect(bodies()[0].previous).toEqual({
                status: 'A', lines: { 1: { item: '21', quantity: 4, rate: 1 }, 2: { item: '21', quantity: 1, rate: 1 } },
            });
        });

        it('and leaves out what ingest would refuse: NUL, halves of surrogate pairs, endless text', () => {
            edit({}, { email: 'a\u0000b', phone: '\ud800', comments: 'x'.repeat(20001), companyname: 'Ümläut 😀' });
            expect(bodies()[0].changes).toEqual({ companyname: 'Ümläut 😀' });
        });

        it('and rings without saying what changed when that would fill the row', () => {
            const { text } = require('SuiteScripts/concord/envelope');
            const many = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`f${n}`, 'x'.repeat(8000)]));
            expect(JSON.parse(text({ eventId: 'e', changes: many, previous: many }))).toEqual({ eventId: 'e', changes: many });
            const more = { ...many, g: 'x'.repeat(8000) };
            expect(JSON.parse(text({ eventId: 'e', changes: more, previous: {} }))).toEqual({ eventId: 'e' });
        });

        it.each(['view', 'copy', 'print', undefined])('and nothing of %s', (type) => {
            afterSubmit({ type, newRecord: account.contextRecord('customer', 42, acme) });
            expect(rows()).toEqual([]);
            expect(account.logs).toEqual([]);
        });

        it('and nothing of records that are not ours', () => {
            afterSubmit({ type: 'create', newRecord: { id: 1, type: 'vendor' } });
            expect(rows()).toEqual([]);
        });
    });

    describe('in mode outbox', () => {
        it('writes one row for six units and asks nothing outside the account', () => {
            edit({}, { email: 'x' });
            expect(rows()).toHaveLength(1);
            expect(account.requests).toEqual([]);
            expect(1000 - account.remaining).toBe(6);
        });

        it('is what an unknown mode and no mode mean', () => {
            [undefined, 'everything'].forEach((mode) => {
                account.parameters.custscript_concord_ue_mode = mode;
                edit({}, { email: 'x' });
            });
            expect(rows()).toHaveLength(2);
            expect(account.requests).toEqual([]);
        });
    });

    it('does nothing at all in mode off', () => {
        account.parameters.custscript_concord_ue_mode = 'off';
        edit({}, { email: 'x' });
        expect([account.remaining, account.calls, account.requests]).toEqual([1000, [], []]);
    });

    describe('in mode direct', () => {
        let now;

        beforeEach(() => {
            account.parameters.custscript_concord_ue_mode = 'direct';
            now = Date.parse('2026-11-14T10:00:00.400Z');
            jest.spyOn(Date, 'now').mockImplementation(() => now);
        });

        const answering = (code, takesMs = 0) => {
            const accept = new Account().ingest;
            account.ingest = (request) => {
                now += takesMs;
                return code === 202 ? accept(request) : { code, body: '' };
            };
        };

        it('sends the event, signed, and leaves no row', () => {
            edit({}, { email: 'x' });
            const [request] = account.requests;
            expect(request.url).toBe('https://ingest.example/v1/accounts/TSTDRV100001/events');
            expect(JSON.parse(request.body)[0]).toMatchObject({ recordId: '42', changes: { email: 'x' } });
            expect(rows()).toEqual([]);
            expect(1000 - account.remaining).toBeLessThanOrEqual(12);
        });

        it('signs as Standard Webhooks says: HMAC-SHA256 over id, second and body, the secret decoded', () => {
            edit({}, { email: 'ü😀' });
            const { headers, body } = account.requests[0];
            const secret = Buffer.from(account.secrets.custsecret_concord, 'base64');
            const signed = `${headers['webhook-id']}.${Math.floor(now / 1000)}.${body}`;
            expect(headers).toEqual({
                'Content-Type': 'application/json',
                'webhook-id': expect.stringMatching(/^msg_[0-9a-f]{32}$/),
                'webhook-timestamp': String(Math.floor(now / 1000)),
                'webhook-signature': `v1,${createHmac('sha256', secret).update(signed, 'utf8').digest('base64')}`,
            });
        });

        it.each([500, 503, 429, 401, 400, 302])('leaves a row when ingest answers %i', (code) => {
            answering(code);
            edit({}, { email: 'x' });
            expect(account.requests).toHaveLength(1);
            expect(rows()).toHaveLength(1);
        });

        it('leaves a row when the request fails, and says so by code alone', () => {
            account.ingest = () => { throw failure('SSS_REQUEST_TIME_EXCEEDED', 'a value a user typed'); };
            edit({}, { email: 'secret@b.example' });
            expect(rows()).toHaveLength(1);
            expect(account.logged()).toContain('SSS_REQUEST_TIME_EXCEEDED');
            expect(account.logged()).not.toMatch(/secret@b|a user typed/);
        });

        it('keeps every save off the network for five minutes after a failure, then lets one try', () => {
            answering(500);
            edit({}, { email: '1' });
            answering(202);
            edit({}, { email: '2' });
            now += 5 * 60 * 1000 - 1;
            edit({}, { email: '3' });
            expect(account.requests).toHaveLength(1);
            expect(rows()).toHaveLength(3);
            now += 1;
            edit({}, { email: '4' });
            edit({}, { email: '5' });
            expect(account.requests).toHaveLength(3);
            expect(rows()).toHaveLength(3);
        });

        it('lets nobody else try while one tries, and starts the five minutes anew when it fails', () => {
            answering(500);
            edit({}, { email: '1' });
            now += 5 * 60 * 1000;
            account.ingest = () => {
                if (account.requests.length < 3) edit({}, { email: 'meanwhile' });
                return { code: 500, body: '' };
            };
            edit({}, { email: '2' });
            now += 5 * 60 * 1000 - 1;
            edit({}, { email: '3' });
            expect(account.requests).toHaveLength(2);
            expect(rows()).toHaveLength(4);
        });

        it('takes an answer that came too late for a failure, but not for a loss', () => {
            answering(202, 2001);
            edit({}, { email: '1' });
            expect(rows()).toHaveLength(0);
            edit({}, { email: '2' });
            expect(account.requests).toHaveLength(1);
            expect(rows()).toHaveLength(1);
        });

        it('sends nothing when its memory of failures cannot be read', () => {
            account.broken.add('N/cache');
            edit({}, { email: 'x' });
            expect(account.requests).toEqual([]);
            expect(rows()).toHaveLength(1);
        });

        it('sends nothing when units are short, and still leaves the row', () => {
            account.remaining = 20;
            edit({}, { email: 'x' });
            expect(account.requests).toEqual([]);
            expect(rows()).toHaveLength(1);
        });

        it.each(['url', 'secret'])('sends nothing without a %s', (name) => {
            account.parameters[`custscript_concord_ue_${name}`] = '';
            edit({}, { email: 'x' });
            expect(account.requests).toEqual([]);
            expect(rows()).toHaveLength(1);
        });

        it('leaves a row when the API secret is not there', () => {
            account.secrets = {};
            edit({}, { email: 'x' });
            expect(account.requests).toEqual([]);
            expect(rows()).toHaveLength(1);
        });
    });

    describe('never throws into a save', () => {
        const MODULES = ['N/record', 'N/query', 'N/crypto', 'N/cache', 'N/runtime', 'N/log', 'N/https', 'N/encode', 'N/format'];

        it.each(MODULES.map((name) => [name]))('when everything in %s throws', (name) => {
            account.broken.add(name);
            ['outbox', 'direct'].forEach((mode) => {
                account.parameters.custscript_concord_ue_mode = mode;
                expect(() => edit({}, { email: 'x' })).not.toThrow();
            });
        });

        it('when everything throws at once', () => {
            MODULES.forEach((name) => account.broken.add(name));
            expect(() => edit({}, { email: 'x' })).not.toThrow();
        });

        it.each([[undefined], [null], [{}], [{ type: 'edit' }], [{ type: 'edit', newRecord: { type: 'customer' } }],
            [{ type: 'create', newRecord: { id: 1, type: 'salesorder' } }]])('on a context of %j', (context) => {
            expect(() => afterSubmit(context)).not.toThrow();
        });

        it('when a record refuses to be read, and still rings', () => {
            const newRecord = account.contextRecord('customer', 42, acme);
            newRecord.getValue = () => { throw failure('UNEXPECTED_ERROR'); };
            afterSubmit({ type: 'edit', newRecord, oldRecord: newRecord });
            expect(bodies()[0]).toMatchObject({ recordId: '42', changes: {} });
        });

        it('and names the record, not its values, when neither way is open', () => {
            account.broken.add('N/record');
            edit({}, { email: 'secret@b.example' });
            expect(account.logs).toEqual([
                { level: 'error', title: 'concord: a change was not captured', details: 'customer 42: UNEXPECTED_ERROR' },
            ]);
        });

        it('when there are no units for the row', () => {
            account.remaining = 5;
            edit({}, { email: 'x' });
            expect(account.logged()).toContain('customer 42: SSS_USAGE_LIMIT_EXCEEDED');
            expect(account.remaining).toBe(5);
        });
    });
});

describe('the event subscriber', () => {
    let account;
    let handle;

    beforeEach(() => {
        account = new Account();
        ({ handle } = script(account, 'concord_subscriber'));
    });

    const rows = () => account.all(OUTBOX).map(({ state }) => JSON.parse(state.values.custrecord_concord_ob_body));
    const saved = (recordType, recordId) => handle({ context: { recordType }, payload: { recordId } });

    it('leaves a hint that names the record alone, and wakes the flush', async () => {
        await saved('SALESORDER', '77');
        expect(rows()).toHaveLength(1);
        expect(rows()[0]).toMatchObject({ recordType: 'salesorder', recordId: '77', eventType: 'update', source: 'UE' });
        expect(rows()[0]).not.toHaveProperty('changes');
        expect(account.submitted).toEqual([{
            taskType: 'MAP_REDUCE', scriptId: 'customscript_concord_flush', deploymentId: 'customdeploy_concord_flush_now',
        }]);
        expect(account.requests).toEqual([]);
    });

    it('leaves the hint when a flush is running already', async () => {
        await saved('SALESORDER', '77');
        await saved('CUSTOMER', '78');
        expect(rows()).toHaveLength(2);
        expect(account.submitted).toHaveLength(1);
    });

    it('says nothing of other records, and never fails', async () => {
        await saved('VENDOR', '1');
        expect(rows()).toEqual([]);
        ['N/record', 'N/task', 'N/runtime', 'N/log'].forEach((name) => account.broken.add(name));
        await expect(saved('SALESORDER', '77')).resolves.toBeUndefined();
        await expect(handle(undefined)).resolves.toBeUndefined();
    });
});
