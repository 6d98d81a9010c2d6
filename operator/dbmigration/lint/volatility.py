"""Whether a default gives every row the same value: PostgreSQL then stores it once (ADD COLUMN) instead of rewriting the table.

PostgreSQL asks contain_volatile_functions(); a function of one's own is VOLATILE unless it says otherwise (manual, 38.7).
"""

from collections.abc import Iterable
from typing import Final

from dbmigration.lint.definitions import Volatility

_VOLATILE_NAMES = (
    "random gen_random_uuid uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 uuidv4 uuidv7 gen_random_bytes gen_salt clock_timestamp"
    " timeofday nextval currval lastval setval pg_sleep txid_current_if_assigned normal_rand random_normal gen_ulid uuid_generate_v7"
    " nanoid pgp_sym_encrypt"
)
VOLATILE: Final = frozenset(_VOLATILE_NAMES.split())

_FIXED_NAMES = (
    "now transaction_timestamp statement_timestamp current_setting current_user session_user current_schema current_database version"
    " pg_backend_pid txid_current pg_current_xact_id timezone date_trunc date_part extract make_date make_time make_timestamp"
    " make_timestamptz make_interval to_date to_timestamp to_char to_number age justify_days justify_hours justify_interval"
    " lower upper initcap btrim ltrim rtrim trim substring substr left right length char_length octet_length concat concat_ws format"
    " replace translate repeat reverse lpad rpad split_part strpos position regexp_replace md5 sha256 sha512 encode decode convert_to"
    " convert_from ascii chr quote_literal quote_ident abs ceil ceiling floor round trunc sign mod power sqrt exp ln log greatest least"
    " coalesce nullif array_append array_prepend array_cat array_length cardinality unnest string_to_array array_to_string"
    " jsonb_build_object json_build_object jsonb_build_array json_build_array to_json to_jsonb jsonb_set row_to_json array_to_json"
    " hstore to_tsvector to_tsquery inet_client_addr inet_server_addr host masklen family network int4range int8range numrange tsrange"
    " tstzrange daterange uuid_nil uuid_ns_dns uuid_ns_url uuid_generate_v3 uuid_generate_v5 digest hmac pg_typeof"
)
FIXED: Final = frozenset(_FIXED_NAMES.split())


def volatility_of(functions: Iterable[str]) -> Volatility:
    """The worst of the functions that an expression calls; FIXED without any."""
    worst = Volatility.FIXED
    for name in functions:
        if name in VOLATILE:
            return Volatility.VOLATILE
        if name not in FIXED:
            worst = Volatility.UNKNOWN
    return worst
