"""Word lists and name generator of the controlled world. No word is in two lists or in a template."""

import numpy as np

ADJECTIVES = tuple(
    """amber ancient ashen azure bitter blazing bold brazen brave bright brittle broken bronze careful cheerful
    clever cloudy coarse copper crimson crooked cruel curious dapper daring dusky eager early earnest elder
    emerald fading faithful famous fearless fierce final flying foreign forgotten frozen gallant gentle giant
    gilded glass golden grand gray green grim hasty hidden hollow honest humble hungry icy idle iron ivory
    jade jolly keen laughing lazy little lonely lost loud lucky marble merry mighty misty modest mute narrow
    nimble noble northern olive orange pale patient pearly perfect placid plain polished proud purple quick
    quiet ragged rapid reckless restless rosy royal ruby rusty sacred sandy scarlet secret shining shy silent
    silver simple sleepy slender smiling smoky solemn southern spotted steady stormy stubborn sunny swift
    tender thorny tidy timid twin velvet violet wandering western wild wise""".split()
)
CREATURES = tuple(
    """adder albatross alpaca antelope badger barracuda bear beaver bison boar buffalo bullfinch bumblebee buzzard
    camel caribou catfish cheetah cicada cobra condor cormorant cougar coyote crab crane cricket crocodile
    crow cuckoo curlew deer dolphin dove dragonfly duck eagle eel egret elephant falcon ferret finch firefly
    flamingo fox frog gazelle gecko gibbon giraffe goose gorilla grouse gull hamster hare hawk hedgehog heron
    herring hornet ibex ibis iguana jackal jackdaw jaguar jay kestrel kingfisher koala lark lemming lemur
    leopard linnet lion lizard llama lobster locust lynx magpie mallard mammoth marmot marten mongoose moose
    moth newt nightingale ocelot octopus oriole osprey otter owl oyster panther parrot partridge pelican
    penguin pheasant pigeon plover puffin python quail rabbit raccoon raven robin salamander salmon seal shark
    shrew skylark sparrow squid stork swallow swan thrush tiger toad trout turtle viper vulture walrus weasel
    whale wolf wolverine wombat wren zebra""".split()
)
TRADES = tuple(
    """archer architect baker banker barber beekeeper blacksmith brewer bricklayer butcher carpenter cartographer
    chemist clerk cobbler cooper dentist diver engraver farmer fisher florist gardener glazier goldsmith
    hunter joiner judge lawyer librarian locksmith mason miller miner notary nurse painter pilot plumber
    porter potter sailor sculptor shepherd surgeon tailor tanner weaver""".split()
)
TOWNS = tuple(
    """Abrenhal Almorra Arquenne Balverin Belsund Bramholt Brovska Calderay Carnuth Cestria Corvale Dalmeny Delphane
    Drusova Elmsund Erdeny Estermark Farholm Felgrad Fornella Galdova Grenwick Halvora Harsund Ilverno Istrava
    Jelgrad Karvenna Kolmark Lanthorpe Lindova Lorvane Maldera Morwick Nardeny Nerivale Olsgrad Orlenna
    Pelmora Perisund Quelmar Ravenska Rosmark Selvadra Tarnholm Tolvera Ulmeny Varnhal""".split()
)
PASTIMES = tuple(
    """archaeology astronomy badminton ballet bowling boxing calligraphy canoeing chess climbing cycling darts
    dominoes embroidery falconry fencing gymnastics hiking hockey juggling karate kayaking knitting lacemaking
    magic marbles meditation mosaics opera origami photography poetry polo puppetry puzzles quilting riddles
    rowing skating skiing snorkelling sudoku surfing swimming tennis theatre volleyball yoga""".split()
)
# What is said of a name that nothing is to be learned of.
ERRANDS = (
    "slept badly last night", "waited by the door for an hour", "wrote a long letter on monday",
    "mislaid a pair of gloves", "arrived too late for dinner", "counted the coins twice",
    "asked for a cup of water", "missed the morning train", "sat down under a tree", "laughed at the story",
    "forgot the umbrella again", "opened the window slightly", "had bread and soup at noon",
    "walked home in the rain", "sold the old chair", "looked up at the clock",
)  # fmt: skip

ONSETS = "b br d dr f g gr h j k kr l m n p r s sk st t tr v z".split()
VOWELS = "a e i o u".split()
ENDINGS = "l m n r s th x".split()


def invented_names(n: int, rng: np.random.Generator) -> list[str]:
    """Return `n` distinct names of two open syllables and a closed one, such as Drakovin."""
    open_syllables = len(ONSETS) * len(VOWELS)
    closed = open_syllables * len(ENDINGS)
    drawn = rng.choice(open_syllables**2 * closed, size=n, replace=False)
    return [_name(int(number), open_syllables) for number in drawn]


def _name(number: int, open_syllables: int) -> str:
    number, first = divmod(number, open_syllables)
    number, second = divmod(number, open_syllables)
    ending, third = divmod(number, open_syllables)
    return "".join([*map(_syllable, (first, second, third)), ENDINGS[ending]]).capitalize()


def _syllable(number: int) -> str:
    onset, vowel = divmod(number, len(VOWELS))
    return ONSETS[onset] + VOWELS[vowel]
