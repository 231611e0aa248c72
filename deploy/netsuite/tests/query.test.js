const { Account } = require('./fakes/account');
const { script } = require('./fakes/load');

describe('the query RESTlet', () => {
    let account;
    let post;

    beforeEach(() => {
        account = new Account();
        account.queryRows = Array.from({ length: 2503 }, (_, n) => ({ n }));
        ({ post } = script(account, 'concord_query'));
    });

    const span = (more) => {
        const { rows } = post({ query: 'SELECT n FROM numbers ORDER BY n ASC', ...more });
        return rows.length === 0 ? [] : [rows[0].n, rows[rows.length - 1].n, rows.length];
    };

    it.each([
        ['a thousand rows when no limit is given', {}, [0, 999, 1000]],
        ['a page', { limit: 1000, offset: 1000 }, [1000, 1999, 1000]],
        ['the last page', { limit: 1000, offset: 2000 }, [2000, 2502, 503]],
        ['nothing past the end', { limit: 1000, offset: 3000 }, []],
        ['a row', { limit: 1, offset: 0 }, [0, 0, 1]],
        ['a row in the middle of a page', { limit: 1, offset: 7 }, [7, 7, 1]],
        ['rows across two pages', { limit: 10, offset: 25 }, [25, 34, 10]],
        ['more rows than a page of NetSuite\'s holds', { limit: 5000, offset: 3 }, [3, 2502, 2500]],
    ])('gives %s', (_, more, expected) => {
        expect(span(more)).toEqual(expected);
    });

    it('spends ten units on the query and ten on each page', () => {
        span({ limit: 1000, offset: 0 });
        expect(account.remaining).toBe(4980);
    });

    it('passes the parameters on', () => {
        const id = account.seed('customer', { companyname: 'A', externalid: 'x-1' });
        expect(post({ query: 'SELECT id FROM customer WHERE externalid = ?', params: ['x-1'] }).rows[0].id).toBe(id);
        expect(post({ query: 'SELECT id FROM customer WHERE externalid = ?', params: ['x-2'] }).rows).toEqual([]);
    });

    it.each([
        [undefined, 'SSS_MISSING_REQD_ARGUMENT'], ['text', 'SSS_MISSING_REQD_ARGUMENT'], [{}, 'SSS_MISSING_REQD_ARGUMENT'],
        [{ query: ' ' }, 'SSS_MISSING_REQD_ARGUMENT'], [{ query: 'x', limit: 0 }, 'SSS_INVALID_TYPE_ARG'],
        [{ query: 'x', limit: 5001 }, 'SSS_INVALID_TYPE_ARG'], [{ query: 'x', limit: '10' }, 'SSS_INVALID_TYPE_ARG'],
        [{ query: 'x', offset: -1 }, 'SSS_INVALID_TYPE_ARG'], [{ query: 'x', offset: 99999, limit: 2 }, 'SSS_INVALID_TYPE_ARG'],
        [{ query: 'x', params: [{}] }, 'SSS_INVALID_TYPE_ARG'], [{ query: 'x', params: 'y' }, 'SSS_INVALID_TYPE_ARG'],
        [{ query: 'x'.repeat(100001) }, 'SSS_INVALID_TYPE_ARG'],
    ])('refuses %j', (body, name) => {
        expect(() => post(body)).toThrow(expect.objectContaining({ name }));
        expect(account.remaining).toBe(5000);
    });

    it('leaves NetSuite\'s own refusal of a statement as it is', () => {
        account.broken.add('N/query');
        expect(() => post({ query: 'SELECT nosuch FROM customer' })).toThrow(expect.objectContaining({ name: 'UNEXPECTED_ERROR' }));
    });
});
