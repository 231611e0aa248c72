const { RID, writeRestlet } = require('./fakes/write-restlet');

const OTHER = '0190a3f2-7c11-7000-8000-0000000000bb';

describe('the write RESTlet', () => {
    let account;
    let write;
    let customer;
    let saved;

    beforeEach(() => {
        ({ account, write, customer, saved } = writeRestlet());
    });

    describe('an update', () => {
        it('lands when stamp and values are what it expects, and leaves its stamp', () => {
            const id = customer();
            const result = write({ id, changes: { email: 'new@b.example' }, pre: { email: 'a@b.example' } });
            const now = account.peek('customer', id).values;
            expect(result).toEqual({
                writeId: 'w1', status: 'ok', id, stamp: 3, lastModified: now.lastmodifieddate.toISOString().replace('.000', ''),
            });
            expect(now.email).toBe('new@b.example');
            expect(now.custentity_concord_stamp).toBe(`${RID}:3`);
        });

        it('is gone when the record does not exist, or its id cannot be one', () => {
            expect(write({ id: '999' })).toMatchObject({ status: 'gone', stamp: 0 });
            expect(write({ id: 'abc' })).toMatchObject({ status: 'gone' });
            expect(write({ id: null })).toMatchObject({ status: 'gone' });
        });

        it.each([[3, 'the same stamp'], [9, 'a younger stamp']])('is fenced by %i on the record: %s', (n) => {
            const id = customer({ custentity_concord_stamp: `${RID}:${n}`, email: 'kept' });
            const result = write({ id, changes: { email: 'x' } });
            expect(result).toMatchObject({ status: 'fenced', id, stamp: n });
            expect(account.peek('customer', id).values.email).toBe('kept');
            expect(saved()).toBe(0);
        });

        it('is fenced when it is sent twice', () => {
            const id = customer();
            expect(write({ id, changes: { email: 'x' } }).status).toBe('ok');
            expect(write({ id, changes: { email: 'x' } }).status).toBe('fenced');
            expect(saved()).toBe(1);
        });

        it.each([['an older stamp of ours', `${RID}:1`], ['no stamp', ''], ['a stamp that is none', 'hello:7'],
            ["the stamp of the record it was copied from", `${OTHER}:2`]])('is stale on %s', (_, stamp) => {
            const id = customer({ custentity_concord_stamp: stamp });
            expect(write({ id, changes: { email: 'x' } }).status).toBe('stale');
            expect(saved()).toBe(0);
        });

        it('takes the stamp of another rid for none', () => {
            const id = customer({ custentity_concord_stamp: `${OTHER}:50` });
            expect(write({ id, expect: 0, stamp: 1, changes: { email: 'x' } })).toMatchObject({ status: 'ok', stamp: 1 });
            expect(account.peek('customer', id).values.custentity_concord_stamp).toBe(`${RID}:1`);
        });

        it('knows its rid in capitals', () => {
            const id = customer({ custentity_concord_stamp: `${RID.toUpperCase()}:2` });
            expect(write({ id, changes: { email: 'x' } }).status).toBe('ok');
        });

        it('is stale when a value came back to what it was but an earlier write of ours landed in between (ABA)', () => {
            const id = customer({ custentity_concord_stamp: `${RID}:3`, email: 'a@b.example' });
            const late = { id, stamp: 5, expect: 2, changes: { email: 'x' }, pre: { email: 'a@b.example' } };
            expect(write(late)).toMatchObject({ status: 'stale', stamp: 3 });
            expect(account.peek('customer', id).values.email).toBe('a@b.example');
        });

        it('is stale when a user changed a touched field, and indifferent to other fields', () => {
            const id = customer({ email: 'user@b.example', phone: '555' });
            expect(write({ id, changes: { email: 'x' }, pre: { email: 'a@b.example' } }).status).toBe('stale');
            expect(write({ id, changes: { phone: '556' }, pre: { phone: '555' } }).status).toBe('ok');
        });

        it('is stale when its guard names a field the record does not have', () => {
            expect(write({ id: customer(), changes: { email: 'x' }, pre: { nosuch: null } }).status).toBe('stale');
        });

        it('is stale when a user saves between our load and our save', () => {
            const id = customer();
            account.interfere = (operation) => {
                if (operation === 'save') account.edit('customer', id, (values) => { values.email = 'user@b.example'; });
            };
            const result = write({ id, changes: { email: 'x' }, pre: { email: 'a@b.example' } });
            expect(result).toMatchObject({ status: 'stale', code: 'RCRD_HAS_BEEN_CHANGED', id, stamp: 2 });
            expect(account.peek('customer', id).values).toMatchObject({
                email: 'user@b.example', custentity_concord_stamp: `${RID}:2`,
            });
        });

        it('is gone when somebody deletes the record between our load and our save', () => {
            const id = customer();
            account.interfere = (operation) => {
                if (operation === 'save') account.stored.delete(account.key('customer', id));
            };
            expect(write({ id, changes: { email: 'x' } }).status).toBe('gone');
        });

        it('is invalid with NetSuite\'s code and words when NetSuite refuses the content', () => {
            const id = customer();
            const result = write({ id, changes: { companyname: null }, pre: { companyname: 'Acme' } });
            expect(result).toMatchObject({
                status: 'invalid', code: 'USER_ERROR', message: 'Please enter value(s) for: Company Name', id, stamp: 2,
            });
            expect(account.peek('customer', id).values.companyname).toBe('Acme');
        });

        it('is invalid when it sets a field the record does not have', () => {
            expect(write({ id: customer(), changes: { nosuch: 'x' } }))
                .toMatchObject({ status: 'invalid', code: 'NONEXISTENT_FIELD' });
        });

        it('never repeats a value it refuses', () => {
            const result = write({ id: customer(), changes: { creditlimit: 'much money' } });
            expect(result).toMatchObject({ status: 'invalid', code: 'USER_ERROR' });
            expect(JSON.stringify(result)).not.toContain('much money');
        });

        it('stays ok when what is read after the save cannot be read', () => {
            const id = customer();
            account.interfere = (operation) => { if (operation === 'save') account.broken.add('N/query'); };
            expect(write({ id, changes: { email: 'x' } })).toEqual({ writeId: 'w1', status: 'ok', id, stamp: 3 });
        });

        it('never uses submitFields, which overlooks other people\'s edits', () => {
            write({ id: customer(), changes: { email: 'x' } });
            expect(account.calls.map((c) => c.operation)).toEqual(['load', 'save']);
        });
    });

    describe('values', () => {
        const rows = [
            ['text with other line ends', 'comments', 'a\r\nb ', 'a\nb', true],
            ['text with composed letters', 'comments', 'u\u0308', '\u00fc', true],
            ['other text', 'comments', 'a', 'A', false],
            ['a decimal and a number', 'creditlimit', 10, '10.00', true],
            ['another decimal', 'creditlimit', 10, '10.01', false],
            ['zero and nothing', 'creditlimit', 0, null, false],
            ['nothing and null', 'creditlimit', '', null, true],
            ['nothing and empty text', 'email', '', '', true],
            ['a whole number', 'custentity_loyalty_points', 7, 7, true],
            ['a ticked box', 'isinactive', true, true, true],
            ['an unticked box and null', 'isinactive', false, null, true],
            ['a ticked box and false', 'isinactive', true, false, false],
            ['a box in letters', 'isinactive', false, 'F', true],
            ['a reference by number', 'terms', '4', 4, true],
            ['another reference', 'terms', '4', '5', false],
            ['a set in another order', 'custentity_tags', ['2', '1'], ['1', '2'], true],
            ['a smaller set', 'custentity_tags', ['1', '2'], ['1'], false],
            ['no set and null', 'custentity_tags', [], null, true],
            ['a day', 'custentity_since', new Date(2026, 2, 1), '2026-03-01', true],
            ['a day with a time', 'custentity_since', new Date(2026, 2, 1), '2026-03-01T09:00:00Z', true],
            ['another day', 'custentity_since', new Date(2026, 2, 1), '2026-03-02', false],
            ['an instant', 'datecreated', new Date('2026-03-01T10:00:00Z'), '2026-03-01T10:00:00Z', true],
            ['an instant in another zone', 'datecreated', new Date('2026-03-01T10:00:00Z'), '2026-03-01T11:00:00+01:00', true],
            ['another instant', 'datecreated', new Date('2026-03-01T10:00:00Z'), '2026-03-01T10:00:01Z', false],
            ['an instant seen as a day', 'datecreated', new Date(2026, 2, 1, 15), '2026-03-01', true],
            ['an instant on another day', 'datecreated', new Date(2026, 2, 1, 15), '2026-03-02', false],
        ];
        it.each(rows)('compares %s', (_, field, stored, pre, same) => {
            const id = customer({ [field]: stored });
            expect(write({ id, pre: { [field]: pre } }).status).toBe(same ? 'ok' : 'stale');
        });

        it('compares a field that is not on the form by the value that is there', () => {
            account.offForm.add('datecreated');
            const id = customer({ datecreated: new Date(2026, 2, 1, 15) });
            expect(write({ id, pre: { datecreated: '2026-03-01' } }).status).toBe('ok');
        });

        it('takes a box that the record does not hold at all for unticked', () => {
            const { matches } = require('SuiteScripts/concord/values');
            expect([matches('', 'text', false), matches('', 'text', true)]).toEqual([true, false]);
        });

        it('sets each kind as scripts want it, and null clears', () => {
            const id = customer({ phone: '555', custentity_tags: ['9'], isinactive: true });
            const changes = {
                creditlimit: '12.50', custentity_loyalty_points: 5, terms: '4', custentity_since: '2026-03-01',
                phone: null, custentity_tags: null, isinactive: null,
            };
            expect(write({ id, changes }).status).toBe('ok');
            expect(account.peek('customer', id).values).toMatchObject({
                creditlimit: 12.5, custentity_loyalty_points: 5, terms: '4', custentity_since: new Date(2026, 2, 1),
                phone: '', custentity_tags: [], isinactive: false,
            });
        });

        it.each([['creditlimit', '1e999'], ['creditlimit', '1234567890123.4567'], ['creditlimit', {}],
            ['custentity_since', '2026-02-30'], ['custentity_since', 'soon'], ['isinactive', 'maybe'],
            ['custentity_tags', 'x'], ['comments', ['x']]])('refuses to set %s to %j', (field, value) => {
            expect(write({ id: customer(), changes: { [field]: value } }))
                .toMatchObject({ status: 'invalid', code: 'USER_ERROR' });
            expect(saved()).toBe(0);
        });
    });

    describe('a create', () => {
        const create = (more) => write({
            kind: 'create', stamp: 1, expect: 0, externalId: `sx_${RID}`, changes: { companyname: 'New' }, ...more,
        });

        it('lands with its stamp and external id', () => {
            const result = create();
            expect(result).toMatchObject({ status: 'ok', stamp: 1, lastModified: expect.stringMatching(/Z$/) });
            expect(account.peek('customer', result.id).values).toMatchObject({
                companyname: 'New', externalid: `sx_${RID}`, custentity_concord_stamp: `${RID}:1`,
            });
        });

        it('is a duplicate when its external id is taken, and tells by whom', () => {
            const first = create();
            const second = create();
            expect(second).toMatchObject({ status: 'duplicate', id: first.id, stamp: 1, lastModified: first.lastModified });
            expect(account.all('customer')).toHaveLength(1);
            expect(account.calls.filter(({ operation }) => operation === 'create')).toHaveLength(1);
        });

        it('is a duplicate when an earlier request of ours lands between look and save', () => {
            account.interfere = (operation) => {
                if (operation === 'save') account.seed('customer', { externalid: `sx_${RID}`, custentity_concord_stamp: `${RID}:1` });
            };
            expect(create({ stamp: 2 })).toMatchObject({ status: 'duplicate', stamp: 1 });
        });

        it('is invalid when another name is taken or a required value is missing', () => {
            expect(create({ changes: {} })).toMatchObject({ status: 'invalid', code: 'USER_ERROR', stamp: 0 });
            account.interfere = (operation) => {
                if (operation === 'save') throw Object.assign(new Error('This entity already exists.'), { name: 'DUP_ENTITY' });
            };
            expect(create()).toMatchObject({ status: 'invalid', code: 'DUP_ENTITY' });
        });

        it('makes the item record that is configured, with price and description where scripts have them', () => {
            const result = create({ type: 'item', changes: { itemid: 'A-1', baseprice: '9.90', description: 'long' } });
            expect(result).toMatchObject({ status: 'ok' });
            const state = account.peek('inventoryitem', result.id);
            expect(state.price).toBe(9.9);
            expect(state.values).toMatchObject({ itemid: 'A-1', salesdescription: 'long', custitem_concord_stamp: `${RID}:1` });
            account.parameters.custscript_concord_wr_item = 'salesorder';
            expect(create({ type: 'item', externalId: 'sx_2', changes: { itemid: 'A-2' } })).toMatchObject({ status: 'invalid' });
        });
    });

    describe('an item', () => {
        it('is found by its id alone and guarded by its price', () => {
            const id = String(account.seed('inventoryitem', { itemid: 'A', custitem_concord_stamp: `${RID}:2` }, [], 5));
            expect(write({ type: 'item', id, changes: { baseprice: '6.00' }, pre: { baseprice: '4.00' } }).status).toBe('stale');
            expect(write({ type: 'item', id, changes: { baseprice: '6.00' }, pre: { baseprice: '5.00' } }).status).toBe('ok');
            expect(account.peek('inventoryitem', id).price).toBe(6);
        });

        it('is gone when no item has its id', () => {
            expect(write({ type: 'item', id: '4711' }).status).toBe('gone');
        });
    });

    describe('a delete', () => {
        const whole = { companyname: 'Acme', email: 'a@b.example', phone: null };

        it('lands when the record is as it was known to be', () => {
            const id = customer();
            expect(write({ kind: 'delete', id, pre: whole })).toMatchObject({
                status: 'ok', id, stamp: 3, lastModified: expect.stringMatching(/Z$/),
            });
            expect(account.peek('customer', id)).toBeUndefined();
        });

        it('is stale when a user has filled a field that was empty', () => {
            const id = customer({ phone: '555' });
            expect(write({ kind: 'delete', id, pre: whole }).status).toBe('stale');
            expect(account.peek('customer', id)).toBeDefined();
        });

        it('is gone the second time', () => {
            const id = customer();
            write({ kind: 'delete', id });
            expect(write({ kind: 'delete', id }).status).toBe('gone');
        });

        it('is invalid with the code when other records depend on it', () => {
            const id = customer();
            account.seed('salesorder', { entity: id });
            expect(write({ kind: 'delete', id, pre: whole })).toMatchObject({
                status: 'invalid', id, stamp: 2,
                code: 'THIS_RECORD_CANNOT_BE_DELETED_BECAUSE_IT_HAS_DEPENDENT_RECORDS',
            });
            expect(account.peek('customer', id)).toBeDefined();
        });
    });
});
