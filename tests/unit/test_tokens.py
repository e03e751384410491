"""The estimate is never below what real tokenizers count, for anything people send (promise C-04)."""

import base64
import importlib
import json
import random
import string

import pytest

from legato.core.tokens import estimate_tokens
from tests.support.require import unavailable

pytestmark = pytest.mark.promise("C-04")

_random = random.Random(4)


def _of(alphabet: str, length: int = 600) -> str:
    return "".join(_random.choices(alphabet, k=length))


TEXTS = {
    "English": "It was the best of times, it was the worst of times; the committee's advice was accepted.",
    "shouted": "IT WAS THE BEST OF TIMES, IT WAS THE WORST OF TIMES; THE ADVICE WAS ACCEPTED.",
    "Russian": "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.",
    "Chinese": "孔乙己是站着喝酒而穿长衫的唯一的人。他身材很高大;青白脸色,皱纹间时常夹些伤痕。",
    "Japanese": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "Arabic": "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق، وقد وهبوا عقلاً وضميراً.",
    "Hebrew": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "Georgian": "ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა და უფლებებით.",
    "Burmese": "လူတိုင်းသည် တူညီလွတ်လပ်သော ဂုဏ်သိက္ခာဖြင့်လည်းကောင်း၊ မွေးဖွားလာသူများဖြစ်သည်။",
    "Amharic": "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "Vietnamese": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.",
    "Swedish": "Alla människor är födda fria och lika i värde och rättigheter, sade flygelhornskonsertmästarinnan.",
    "Finnish": "epäjärjestelmällistyttämättömyydellänsäkäänköhän",
    "German": "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz",
    "Polish": "Chrząszcz brzmi w trzcinie w Szczebrzeszynie i Szczebrzeszyn z tego słynie.",
    "Welsh": "Genir pawb yn rhydd ac yn gydradd. Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch.",
    "emoji": "😀🥹👩‍👩‍👧‍👦🏳️‍🌈🇸🇪👍🏽🫠🧑🏿‍🚀❤️‍🔥♨️🀄🎲",
    "maths": "𝒜𝓁𝓁 𝕥𝕙𝕖 ∑∫∂√∞≠≤≥∈∉⊂⊕⊗ℝℂℕ ⅓⅔ x²+y²=z² →⇒↔",
    "code": "if (x >= 10 && !done) {\n        return foo->bar[i++] ? 0x1F : -1;  // why\n    }\n" * 9,
    "JSON": json.dumps([{"id": i, "name": f"user{i}", "x": [_random.random(), None]} for i in range(30)]),
    "CSV": "\n".join(",".join(str(_random.randrange(10_000)) for _ in range(9)) for _ in range(40)),
    "URL": "https://example.com/a/b?utm_source=xyz&id=8f14e45fceea167a5a36dedd4bea2543#frag\n",
    "hex": _random.randbytes(300).hex(),
    "HEX": _random.randbytes(300).hex().upper(),
    "hex dump": _random.randbytes(300).hex(" "),
    "base 64": base64.b64encode(_random.randbytes(600)).decode(),
    "base 32": base64.b32encode(_random.randbytes(600)).decode().lower(),
    "digits": _of(string.digits),
    "spaced digits": " ".join(_of(string.digits)),
    "letters": _of(string.ascii_lowercase),
    "Letters": _of(string.ascii_letters),
    "spaced letters": " ".join(_of(string.ascii_letters)),
    "wide letters": "   ".join(_of(string.ascii_letters)),
    "numbered words": " ".join(f"w{number}" for number in range(1000)),
    "punctuation": _of(string.punctuation),
    "ASCII": _of(string.printable),
    "Latin 1": _of("".join(map(chr, range(0xA0, 0x100)))),
    "spaces": " " * 999,
    "indentation": ("\n" + " " * 12 + "x") * 50,
    "tabs": "\t" * 99,
    "lines": "\n \r\n" * 99,
}

# What o200k_base, cl100k_base (OpenAI) and voyage3_base (Qwen's) made of these texts at most; a test checks it.
COUNTED: dict[str, int] = {
    "English": 21,
    "shouted": 23,
    "Russian": 49,
    "Chinese": 62,
    "Japanese": 39,
    "Korean": 41,
    "Arabic": 58,
    "Hebrew": 56,
    "Hindi": 84,
    "Thai": 65,
    "Georgian": 144,
    "Burmese": 155,
    "Amharic": 104,
    "Greek": 76,
    "Vietnamese": 38,
    "Swedish": 37,
    "Finnish": 23,
    "German": 23,
    "Polish": 33,
    "Welsh": 41,
    "emoji": 75,
    "maths": 70,
    "code": 315,
    "JSON": 1190,
    "CSV": 1761,
    "URL": 42,
    "hex": 527,
    "HEX": 539,
    "hex dump": 735,
    "base 64": 591,
    "base 32": 618,
    "digits": 600,
    "spaced digits": 1199,
    "letters": 326,
    "Letters": 396,
    "spaced letters": 600,
    "wide letters": 1199,
    "numbered words": 3890,
    "punctuation": 407,
    "ASCII": 463,
    "Latin 1": 733,
    "spaces": 9,
    "indentation": 150,
    "tabs": 6,
    "lines": 198,
}


@pytest.mark.parametrize("kind", TEXTS)
def test_the_estimate_is_not_below_the_true_count(kind: str) -> None:
    assert estimate_tokens(TEXTS[kind]) >= COUNTED[kind]


@pytest.mark.filterwarnings("ignore:open_binary:DeprecationWarning")
def test_the_true_counts_are_true() -> None:
    try:
        tokenizers = importlib.import_module("bpe_openai")
    except ImportError:
        unavailable("the package bpe-openai is not installed")
    names = ("o200k_base", "cl100k_base", "voyage3_base")
    encodings = [tokenizers.get_encoding(name) for name in names]

    counted = {kind: max(len(one.encode_ordinary(text)) for one in encodings) for kind, text in TEXTS.items()}
    assert counted == COUNTED


def test_prose_and_code_cost_less_than_three_times_their_tokens() -> None:
    for kind in ("English", "Russian", "Chinese", "code", "JSON"):
        assert estimate_tokens(TEXTS[kind]) < 3 * COUNTED[kind]


def test_nothing_is_nothing_and_broken_text_counts_too() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("\ud800" * 10) >= 10
