const { RID, writeRestlet } = require('./fakes/write-restlet');

describe('a call of the write RESTlet, and the lines it writes', () => {
    let account;
    let post;
    let item;
    let write;
    let customer;
    let saved;

    beforeEach(() => {
        ({ account, post, item, write, customer, saved } = writeRestlet());
    });

    describe('the lines of an order', () => {
        let id;

        beforeEach(() => {
            id = String(account.seed('salesorder', { entity: '5', orderstatus: 'B', custbody_concord_stamp: `${RID}:2` }, [
                { item: '21', quantity: 2, rate: 9.5 }, { item: '22', quantity: 1, rate: 3 }, { item: '23', quantity: 4, rate: 1 },
            ]));
        });

        const order = (lines, more) => write({ type: 'salesorder', id, lines, ...more });
        const stored = () => account.peek('salesorder', id).lines.map(({ line, item: i, quantity, rate }) => [line, i, quantity, rate]);

        it('are changed, removed and added in one save, and answered by key', () => {
            const result = order({
                upsert: [
                    { key: 'k2', line: '2', changes: { quantity: '7.0000' }, pre: { quantity: '1.0000', rate: '3.00' } },
                    { key: 'new-a', line: null, changes: { quantity: '1.0000', item: '30', rate: '2.00' }, pre: null },
                    { key: 'new-b', line: null, changes: { item: '31', quantity: '5.0000', rate: '6.00' } },
                ],
                remove: [{ line: '1', pre: { item: '21', quantity: '2.0000' } }],
            });
            expect(result).toMatchObject({ status: 'ok', lines: { k2: '2', 'new-a': '4', 'new-b': '5' } });
            expect(stored()).toEqual([[2, '22', 7, 3], [3, '23', 4, 1], [4, '30', 1, 2], [5, '31', 5, 6]]);
            expect(saved('salesorder')).toBe(1);
        });

        it.each([
            ['a line to change is not what it was', { upsert: [{ key: 'k', line: '1', changes: { rate: '1.00' }, pre: { rate: '9.00' } }] }],
            ['a line to change is not there', { upsert: [{ key: 'k', line: '9', changes: { rate: '1.00' }, pre: {} }] }],
            ['a line to remove is not what it was', { remove: [{ line: '1', pre: { quantity: '3.0000' } }] }],
            ['a line to remove is not there', { remove: [{ line: '9', pre: null }] }],
            ['a guard names a line field that is none', { remove: [{ line: '1', pre: { nosuch: 1 } }] }],
        ])('make the write stale when %s', (_, lines) => {
            const before = stored();
            expect(order(lines).status).toBe('stale');
            expect(stored()).toEqual(before);
        });

        it('are removed several at once without mixing up the others', () => {
            expect(order({ remove: [{ line: '1' }, { line: '3' }] }).status).toBe('ok');
            expect(stored()).toEqual([[2, '22', 1, 3]]);
        });

        it('are compared as a whole before an order is deleted', () => {
            const lines = {
                1: { item: '21', quantity: '2.0000', rate: '9.50' }, 2: { item: '22', quantity: '1.0000' }, 3: { rate: '1.00' },
            };
            const remove = (pre) => write({ kind: 'delete', type: 'salesorder', id, pre });
            expect(remove({ lines: { 1: lines[1], 2: lines[2] } }).status).toBe('stale');
            expect(remove({ lines: { ...lines, 3: { rate: '2.00' } } }).status).toBe('stale');
            expect(remove({ lines: { ...lines, 3: null } }).status).toBe('stale');
            expect(remove({ lines: null }).status).toBe('stale');
            expect(remove({ status: 'A', lines }).status).toBe('stale');
            expect(remove({ status: 'B', lines }).status).toBe('ok');
        });

        it('of a new order are all new, whatever ids the request names', () => {
            const result = write({
                kind: 'create', type: 'salesorder', stamp: 1, expect: 0, externalId: 'sx_o', changes: { entity: '5', trandate: '2026-03-01' },
                lines: { upsert: [{ key: 'a', line: '7', changes: { item: '21', quantity: '1.0000' } }], remove: [] },
            });
            expect(result).toMatchObject({ status: 'ok', lines: { a: '1' } });
            expect(account.peek('salesorder', result.id).values.trandate).toEqual(new Date(2026, 2, 1));
        });

        it('that a workflow adds leave the new ids unsaid rather than guessed', () => {
            account.workflow = ({ state }) => state.lines.push({ item: '99', quantity: 1, rate: 0, line: 77 });
            const result = order({ upsert: [{ key: 'a', changes: { item: '30' } }, { key: 'k1', line: '1', changes: { rate: '8.00' } }] });
            expect(result.status).toBe('ok');
            expect(result.lines).toEqual({ k1: '1' });
        });

        it('are refused on a type without lines, and by an unknown field', () => {
            expect(write({ id: customer(), lines: { upsert: [{ key: 'a', changes: {} }] } }))
                .toMatchObject({ status: 'invalid', code: 'NONEXISTENT_FIELD' });
            expect(order({ upsert: [{ key: 'a', line: '1', changes: { nosuch: 1 } }] }))
                .toMatchObject({ status: 'invalid', code: 'NONEXISTENT_FIELD' });
        });
    });

    describe('a call', () => {
        it('answers each write in order, one\'s refusal not being another\'s', () => {
            const id = customer();
            const answer = post({ writes: [
                item({ writeId: 'a', id: '999' }), item({ writeId: 'b', id, changes: { email: 'x' } }), { writeId: 'c' },
                item({ writeId: 'd', type: 'unicorn' }), item({ writeId: 'e', id, stamp: 4, expect: 3, changes: { email: 'y' } }),
            ] });
            expect(answer.results.map(({ writeId, status, code }) => [writeId, status, code])).toEqual([
                ['a', 'gone', 'RCRD_DSNT_EXIST'], ['b', 'ok', undefined], ['c', 'invalid', 'SSS_INVALID_TYPE_ARG'],
                ['d', 'invalid', 'INVALID_RCRD_TYPE'], ['e', 'ok', undefined],
            ]);
            expect(answer.remainingUsage).toBe(account.remaining);
            expect(account.peek('customer', id).values.email).toBe('y');
        });

        it.each([[{}], [null], [{ writes: {} }], ['text']])('is refused when it is none: %j', (body) => {
            expect(() => post(body)).toThrow(expect.objectContaining({ name: 'SSS_MISSING_REQD_ARGUMENT' }));
        });

        it('is refused with more than ten writes, before anything is done', () => {
            const id = customer();
            const writes = Array.from({ length: 11 }, (_, n) => item({ writeId: `w${n}`, id, stamp: n + 3 }));
            expect(() => post({ writes })).toThrow(expect.objectContaining({ name: 'SSS_INVALID_TYPE_ARG' }));
            expect(account.calls).toEqual([]);
        });

        it.each([['stamp', -1], ['stamp', 1.5], ['expect', '2'], ['rid', ''], ['kind', 'upsert'], ['id', 5], ['changes', []],
            ['pre', 'x'], ['lines', []], ['lines', { upsert: [{ changes: {} }] }], ['lines', { remove: [{}] }]])(
            'takes no write whose %s is %j', (name, value) => {
                expect(write({ id: customer(), [name]: value })).toMatchObject({ status: 'invalid', code: 'SSS_INVALID_TYPE_ARG' });
                expect(saved()).toBe(0);
            });

        it('begins no write that it has not the units to end', () => {
            const id = customer();
            account.remaining = 60;
            const writes = [3, 4, 5, 6].map((stamp) => item({ writeId: `w${stamp}`, id, stamp, expect: stamp - 1, changes: { email: `${stamp}` } }));
            const { results } = post({ writes });
            expect(results.map(({ status, code }) => code || status)).toEqual([
                'ok', 'ok', 'SSS_USAGE_LIMIT_EXCEEDED', 'SSS_USAGE_LIMIT_EXCEEDED',
            ]);
            expect(account.peek('customer', id).values.email).toBe('4');
            expect(account.remaining).toBe(10);
        });

        it('never spends more than it reckoned with', () => {
            const { unitsOf } = require('SuiteScripts/concord/writes');
            const fields = require('SuiteScripts/concord/fields');
            const spent = (request) => {
                const before = account.remaining;
                expect(write(request).status).toBe('ok');
                return before - account.remaining;
            };
            const id = String(account.seed('salesorder', { entity: '5', custbody_concord_stamp: `${RID}:2` }));
            const lines = { upsert: [{ key: 'a', changes: { item: '1' } }], remove: [] };
            [
                { kind: 'create', externalId: 'sx_1', changes: { companyname: 'N' } },
                { kind: 'create', type: 'salesorder', externalId: 'sx_2', changes: { entity: '5' }, lines },
                { type: 'salesorder', id, lines },
                { kind: 'delete', id: customer() },
            ].forEach((request) => {
                const full = item(request);
                expect(spent(request)).toBeLessThanOrEqual(unitsOf({ ...full, lines: full.lines || null }, fields.named(full.type)));
            });
        });

        it('begins no write in its last minute', () => {
            const id = customer();
            const clock = jest.spyOn(Date, 'now').mockReturnValueOnce(0).mockReturnValue(240000);
            expect(write({ id, changes: { email: 'x' } })).toMatchObject({ status: 'invalid', code: 'SSS_TIME_LIMIT_EXCEEDED' });
            clock.mockRestore();
            expect(saved()).toBe(0);
        });

        it('logs counts and codes and no value', () => {
            write({ id: customer(), changes: { creditlimit: 'much money' } });
            expect(account.logs).toHaveLength(1);
            expect(account.logged()).toContain('invalid 1; USER_ERROR');
            expect(account.logged()).not.toContain('much money');
        });
    });
});
