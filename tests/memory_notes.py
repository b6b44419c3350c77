"""A hundred notes as agents write them, and fifty questions about half of them.

The first half of the questions asks in words of the note, the second in words that the note does
not have. `tests/handlers/test_mcp_memory.py` holds them to that.
"""

ASKED = [
    # Asked in words of the note.
    (
        "Integration tests need a running Redis on port 6399; start it with `make redis`.",
        "how do I run the integration tests with redis",
    ),
    (
        "The billing service rounds refunds half up in `money.py`, never with Python's round().",
        "how are refunds rounded in billing",
    ),
    (
        "Migrations are generated with `alembic revision --autogenerate` and then edited by hand.",
        "generating alembic migrations",
    ),
    (
        "CI caches node_modules by the hash of pnpm-lock.yaml; change the key after a bad cache.",
        "CI cache of node_modules is bad",
    ),
    (
        "`OrderService.cancel` must be called inside a transaction, else stock is released twice.",
        "OrderService.cancel transaction",
    ),
    (
        "The staging database is restored from production every Monday, with emails masked.",
        "when is the staging database restored",
    ),
    (
        "Feature flags live in `flags.toml`; a flag that is missing there counts as off.",
        "where are feature flags defined",
    ),
    (
        "The GraphQL schema is checked in CI: a removed field fails the build unless deprecated.",
        "removing a GraphQL field fails the build",
    ),
    (
        "Webhook signatures use the raw body, so the middleware must not parse JSON before it.",
        "verify webhook signatures raw body",
    ),
    (
        "Screenshots of the checkout page differ on macOS fonts; update them inside Docker only.",
        "update the screenshots of the checkout page",
    ),
    (
        "The Kafka consumer group `invoices-v2` replaced `invoices`; do not restart the old one.",
        "kafka consumer group for invoices",
    ),
    (
        "Use `scripts/seed.py --tenant demo` to get a tenant with two users and forty orders.",
        "seed a demo tenant",
    ),
    (
        "Rate limiting is done by nginx at 50 requests a second, not in the application.",
        "where does rate limiting happen",
    ),
    (
        "The React dashboard polls every 15 seconds; websockets were removed in March.",
        "does the dashboard use websockets",
    ),
    (
        "Type checking is strict for `core/` and lax for `legacy/`, see the overrides in mypy.ini.",
        "mypy strict overrides legacy",
    ),
    (
        "`pytest -k slow` takes eleven minutes; the slow ones all import the pandas fixtures.",
        "why are the pandas fixtures slow in pytest",
    ),
    (
        "Terraform state for production is locked by the release pipeline between 9 and 10 UTC.",
        "terraform state locked",
    ),
    (
        "The search index is rebuilt by `reindex --all`, which takes the products offline briefly.",
        "rebuild the search index of products",
    ),
    (
        "PDF invoices are made with WeasyPrint, which needs libpango in the container image.",
        "weasyprint libpango container",
    ),
    (
        "Translations come from Lokalise; edit no JSON under `locales/` by hand.",
        "editing translations in locales",
    ),
    (
        "The mobile app pins the API certificate, so a new one must be announced two weeks before.",
        "pinned certificate of the mobile app",
    ),
    (
        "Timestamps in the events table are UTC without zone; convert them at the edge.",
        "timestamps of the events table and time zones",
    ),
    (
        "Dependabot pull requests are merged by the bot when green, except for Django majors.",
        "who merges dependabot pull requests",
    ),
    (
        "The public API promises 30 days of notice before a breaking change of version 2.",
        "notice before breaking the public API",
    ),
    (
        "Avatars are stored in S3 under `u/<id>`; the old bucket is read only.",
        "avatars bucket s3",
    ),
    # Asked in other words.
    (
        "Passwords are hashed with argon2id; bcrypt hashes are upgraded at the next sign-in.",
        "which algorithm protects user credentials",
    ),
    (
        "The checkout sends one confirmation email per order and retries three times.",
        "how often does a purchase notify the customer",
    ),
    (
        "Deployments to production happen only on weekdays before noon.",
        "am I allowed to release on Saturday",
    ),
    (
        "Log lines must never contain a person's name, address or card number.",
        "rules about private data in output",
    ),
    (
        "The nightly backup is copied to another region and kept for ninety days.",
        "how long can we restore lost records from",
    ),
    (
        "The legacy importer swallows exceptions; read its log instead of the exit code.",
        "old ingestion script hides errors",
    ),
    (
        "Currency amounts are integers of cents everywhere.",
        "are prices stored as floating point money",
    ),
    (
        "Unit tests must not touch the network; sockets are blocked in conftest.",
        "can a spec make HTTP calls to the internet",
    ),
    (
        "Branches are named after the ticket, such as fix/ENG-12.",
        "what should I call my git ref",
    ),
    (
        "The linter refuses functions longer than fifty lines.",
        "maximum size of a method in code style",
    ),
    (
        "Customers in Germany get an invoice with VAT, others a receipt.",
        "tax document for buyers from Europe",
    ),
    (
        "The cache is emptied by a broadcast after every product edit.",
        "stale data shown when an item changes",
    ),
    (
        "Administrators sign in with a hardware key.",
        "second factor login for superusers",
    ),
    (
        "Memory of the worker grows until it is restarted each night; the leak is in Pillow.",
        "RAM consumption of the background process climbs",
    ),
    (
        "The parser is generated from grammar.lark; never edit it directly.",
        "how to modify the syntax rules of the language",
    ),
    (
        "Users who delete their account are erased after thirty days.",
        "GDPR removal of people who leave",
    ),
    (
        "The mail server in development is MailHog; nothing leaves the machine.",
        "how to look at messages sent while testing locally",
    ),
    (
        "Large uploads are streamed to disk, since the container has 512 MB.",
        "what happens with big files and limited RAM",
    ),
    (
        "The scheduler runs jobs at least once, so every job must be idempotent.",
        "can a cron task execute twice",
    ),
    (
        "Colours and spacing come from the design tokens package.",
        "which CSS variables to use for styling the theme",
    ),
    (
        "Slow queries are logged above 200 ms to the DBA's channel.",
        "how to find bad SQL performance",
    ),
    (
        "The load balancer closes idle connections after sixty seconds.",
        "why do keepalive sockets get dropped by the proxy",
    ),
    (
        "A reviewer from the payments team must approve changes under pay/.",
        "who signs off code for the billing folder",
    ),
    (
        "Docker images are built for arm64 and amd64 by buildx.",
        "which CPU architectures does the container support",
    ),
    (
        "The old desktop client speaks XML; keep its endpoints until it is retired.",
        "may I drop legacy SOAP routes of the Windows program",
    ),
]

UNASKED = [
    "The order number has a check digit, computed in `checkdigit.rs`.",
    "Run `make proto` after every change of a .proto file and commit what it makes.",
    "The e2e suite signs in as robot@example.test, whose account is made by the fixture.",
    "Sentry drops events beyond 5,000 a day, so a noisy error hides the others.",
    "`FooterLinks` is rendered twice on purpose: once for print.",
    "The pricing engine is pure: no clock, no database, all in `pricing/rules.py`.",
    "Postgres runs with `jit = off`, which halves the time of short reports.",
    "Every table has `created_at` and `updated_at`, set by a trigger.",
    "The warehouse label printer accepts ZPL only, at 203 dpi.",
    "Storybook builds fail on Node 22; use 20.",
    "The address validator is a third party and answers in 800 ms at best.",
    "GitHub Actions runners have two cores; parallel jobs above four are slower.",
    "`useCart` keeps guests' carts in local storage for fourteen days.",
    "The carrier's tracking numbers begin with JD and have eighteen digits.",
    "Stripe test clocks are needed to test renewals.",
    "The admin pages are server-rendered with Jinja and have no JavaScript.",
    "Coupons stack in the order percent, then fixed amount.",
    "The audit table is append-only; the application has no right to update it.",
    "Elasticsearch analyzers for Japanese are in `analysis/ja.json`.",
    "The OpenAPI file is written by hand and linted with Spectral.",
    "A request id travels in X-Request-Id through all services.",
    "`tmp/` is wiped at the start of each container.",
    "The accounting export is a CSV in Windows-1252 with semicolons.",
    "Helm values for staging are in the ops repository, not here.",
    "The color picker was forked from react-colorful to fix a focus bug.",
    "New endpoints need an entry in `permissions.yaml`.",
    "Prometheus scrapes /metrics on port 9102 of each pod.",
    "The sitemap is split at 40,000 addresses.",
    "Do not use `datetime.now()`; take the clock from the context.",
    "The recommendation model is retrained on the first of each month.",
    "Gift cards cannot be bought with gift cards.",
    "The font license allows four weights; we use regular and bold.",
    "`git bisect` needs `make clean` at each step because of the C extension.",
    "The newsletter is sent by a contractor's tool that reads our view `subscribers`.",
    "The iOS build number is the number of commits on main.",
    "Feature work goes behind a flag when it takes more than one pull request.",
    "Celery's visibility timeout is one hour; longer tasks run twice.",
    "The returns portal is a separate app under returns/.",
    "Protobuf field numbers 100 to 199 are reserved for partners.",
    "The CDN ignores query strings on /static.",
    "Phone numbers are stored in E.164.",
    "The fraud score above 80 holds an order for review by a person.",
    "Snapshots are reviewed like code; never update them blindly.",
    "The queue `thumbnails` has its own workers with a GPU.",
    "`NULL` in `shipped_at` means not shipped, there is no status column.",
    "The Android app supports API level 26 and up.",
    "Weights are in grams, lengths in millimetres.",
    "The partner sandbox is down on Sundays.",
    "Error pages are static files in the CDN's bucket.",
    "Secrets come from Vault through the sidecar, never from the environment.",
]

NOTES = [note for note, _ in ASKED] + UNASKED
QUESTIONS = [(question, note) for note, question in ASKED]
IN_THEIR_WORDS, IN_OTHER_WORDS = QUESTIONS[:25], QUESTIONS[25:]
