/* tokens: for test_sasl.c: two public keys, and a token signed by each; the private ones are gone.
 */
#ifndef KF_TESTS_BROKER_TOKENS_H
#define KF_TESTS_BROKER_TOKENS_H

static const char rsa_key[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxN01Ge+SIUeqEVasd58a\n"
                              "iJdoFlNcWFdTWwEgHD1v5aMWeeitHGLKUpWO9daJOIvsWsuJxZbVgD4xFPUjsqbj\n"
                              "I93ijNtssxsQAufVdZpG+NMT20Hq6u80KX88eFWUx/dboQOqkkzuQ1CP9EqWfVXo\n"
                              "k1DonAmsJoFmOFjDCuQsACvbhNxESLRBsw1FZQVM9agnZfIq3l+OK9Sii57WUAG+\n"
                              "GiF6dmiXdtCQLe+T/Q+PZZWjYJYYmFZPvNU6QcN5zrSm27XgMLpOXOG4sNVeRcuu\n"
                              "9gb577da6NjP5fF/9FY0DsBkamdl2tlAqpwsAslDmj64OPnfpg2sfN+s7IIPnmg3\n"
                              "TQIDAQAB\n"
                              "-----END PUBLIC KEY-----\n";

static const char rs256_token[] =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiAiYWxpY2UiLCAiaWF0IjogMTY5OTk5MDA"
    "wMCwgImV4cCI6IDE3MDAwMDM2MDB9.gQDpiHnK506438JpgO0J1oPke1wiKjKR7Fz9v6QCcYQqQOmysT"
    "ODAFbOAMm0IsWoVvsO_8Zv10oqu8wrVKc78KYn-PFMYQPaP5Xmhj2hlkpP2idJGmhtMaDbBeO1tqXg1M"
    "dm_2wHjgiqrMyJsp1PElSIoZef_2kHNXwIu44TZIYeYHb8d3dqMMu2rss7dMzB3ngi56B2mD4JgxZclT"
    "9lYiAXLK_EGY4Ak0cWYCk0Ecy9sdGOPRxNVVbsW2dNCigFr_7I_dPD629UT2mImJhS-6vkUVTriRGBoS"
    "7ERitNTteWCx3DmHN3EtwaKc1Z2Nbp_W5R4IvIToldrqAZBlN0bw";

static const char ec_key[] = "-----BEGIN PUBLIC KEY-----\n"
                             "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYzMhXM+s1h3o99iIED8tQlIcx/Rj\n"
                             "p0oLol+W6Lt3ohd1yMxa4gmS1QdMotrollPoErsoH1hqwBNcrXUl6IAx0Q==\n"
                             "-----END PUBLIC KEY-----\n";

static const char es256_token[] =
    "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiAiYWxpY2UiLCAiaWF0IjogMTY5OTk5MDAwMCwgImV4cCI6IDE"
    "3MDAwMDM2MDB9.WmhX4LPb0Tfa_92DtZq_uHagoS-AxkJVjfEQy6cPmdxbsm3daOuc4xaSkqvLwLg4o8"
    "vYOYTTWnNMl06jyR80cw";

#endif
