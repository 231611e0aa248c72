const { Account } = require('./fakes/account');
const { script } = require('./fakes/load');

const RID = '0190a3f2-7c11-7000-8000-0000000000aa';

/** The README's table of units. */
describe('what it costs', () => {
    let account;
    const spent = (action) => {
        const before = account.remaining;
        action();
        return before - account.remaining;
    };

    beforeEach(() => { account = new Account(); });

    it('a user event: 6 with a row, 12 direct, 18 where that fails, 7 with the breaker open, one more for the trial', () => {
        const { afterSubmit } = script(account, 'concord_ue');
        const save = () => spent(() => afterSubmit({ type: 'create', newRecord: account.contextRecord('customer', 1, { companyname: 'A' }) }));
        const set = (mode) => { account.parameters.custscript_concord_ue_mode = mode; };
        account.parameters.custscript_concord_ue_url = 'https://ingest.example';
        account.parameters.custscript_concord_ue_secret = 'custsecret_concord';
        set('outbox');
        expect(save()).toBe(6);
        set('direct');
        expect(save()).toBe(12);
        account.ingest = () => ({ code: 500, body: '' });
        expect(save()).toBe(18);
        expect(save()).toBe(7);
        const later = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 301000);
        expect(save()).toBe(19);
        later.mockRestore();
    });

    it('an event subscriber: 26', () => {
        const { handle } = script(account, 'concord_subscriber');
        expect(spent(() => handle({ context: { recordType: 'CUSTOMER' }, payload: { recordId: '1' } }))).toBe(26);
    });

    it('a map of the flush: 612 for a hundred rows accepted, 413 for none', () => {
        const { map } = script(account, 'concord_flush');
        account.parameters = { custscript_concord_mr_url: 'https://ingest.example', custscript_concord_mr_secret: 'custsecret_concord' };
        const ids = Array.from({ length: 100 }, (_, n) => account.seed('customrecord_concord_outbox', {
            custrecord_concord_ob_event: `e${n}`, custrecord_concord_ob_body: JSON.stringify({ eventId: `e${n}` }),
        }));
        const accepting = account.ingest;
        account.ingest = () => ({ code: 500, body: '' });
        account.remaining = 1000;
        const flushed = () => spent(() => map({ value: JSON.stringify(ids), write: () => {} }));
        expect(flushed()).toBe(413);
        account.ingest = accepting;
        account.cached.clear();
        account.remaining = 1000;
        expect(flushed()).toBe(612);
    });

    const line = { upsert: [{ key: 'a', changes: { item: '1' } }], remove: [] };
    it.each([
        ['customer', { companyname: 'A' }, [35, 25, 15]],
        ['item', { itemid: 'A' }, [35, 26, 16]],
        ['salesorder', { entity: '1' }, [50, 40, 30]],
    ])('a write of a %s', (type, changes, [create, update, remove]) => {
        const { post } = script(account, 'concord_write');
        let id = null;
        const write = (more) => spent(() => {
            const [result] = post({ writes: [{ writeId: 'w', type, id, rid: RID, changes, pre: {}, ...more }] }).results;
            expect(result.status).toBe('ok');
            id = result.id;
        });
        expect(write({ kind: 'create', stamp: 1, expect: 0, externalId: 'sx_1' })).toBe(create);
        expect(write({ kind: 'update', stamp: 2, expect: 1 })).toBe(update);
        if (type === 'salesorder') {
            expect(write({ kind: 'update', stamp: 3, expect: 2, lines: line })).toBe(50);
            expect(write({ kind: 'create', stamp: 1, expect: 0, externalId: 'sx_2', lines: line })).toBe(60);
        }
        const stamp = type === 'salesorder' ? 1 : 2;
        expect(write({ kind: 'delete', stamp: stamp + 1, expect: stamp, changes: {} })).toBe(remove);
    });
});
