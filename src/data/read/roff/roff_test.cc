#include "data/read/roff/roff.h"

#include <rapidcheck.h>

#include "base/test_util.h"
#include "data/read/roff/roff_escapes.h"
#include "data/read/roff/roff_source.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

TEST(RoffEscapesTest, CharactersFontsAndSpaces) {
  RoffEscapes escapes;
  EXPECT_EQ(escapes.Expand(R"(\fB\-\-all\fR \fIfile\fP \f[BI]x\f[])"), "--all file x");
  EXPECT_EQ(escapes.Expand(R"(\(co 2024 \(em \[u00E9] \[u0065_0301] \[bu] \(lqa\(rq)"),
            "© 2024 — é e\u0301 • “a”");
  EXPECT_EQ(escapes.Expand(R"(a\ b\~c \e \\ \&.x \s-1SMALL\s0 \s+2big\s-2)"),
            "a\u00A0b\u00A0"
            "c \\ \\ .x SMALL big");
  EXPECT_EQ(escapes.Expand(R"(x\h'2n'y\v'-.1v'z\|w\^v\"a comment)"), "xyzwv");
  EXPECT_EQ(escapes.Expand(R"(\*(Tm \*R \*[lq]q\*[rq] \*(no)"), "™ ® “q” ");
  EXPECT_EQ(escapes.Expand(R"(\w'four' \n(.g \nx)"), "4 1 0");
}

TEST(RoffEscapesTest, AStringThatNamesItselfEnds) {
  RoffEscapes escapes;
  escapes.SetString("x", R"(a\*x\*x)");
  EXPECT_LT(escapes.Expand(R"(\*x)").size(), 100000u);
}

TEST(RoffSourceTest, ArgumentsAndExpressions) {
  EXPECT_EQ(SplitRoffArguments(R"( one "two words" "a ""quote""" x\ y)"),
            (std::vector<std::string>{"one", "\"two words", "\"a \"quote\"", "x\\ y"}));
  EXPECT_EQ(EvaluateRoffExpression("1+2*3"), 9);  // left to right
  EXPECT_EQ(EvaluateRoffExpression("(1+2)*3n>8"), 1);
  EXPECT_EQ(EvaluateRoffExpression("7/0"), 0);
  EXPECT_EQ(EvaluateRoffExpression("-4=-4"), 1);
  EXPECT_EQ(EvaluateRoffExpression(""), 0);
}

// Long: a page and its text.
TEST(RoffTest, ManPage) {
  EXPECT_EQ(RenderRoff(R"(.\" a comment
.TH FROB 1 "May 2024" "frob 1.0"
.SH NAME
frob \- turn things
.SH SYNOPSIS
.B frob
[\fB\-v\fR]
.RI [ file ...]
.SH "THE DESCRIPTION"
.PP
The first line
goes on \(em here.
.SS Details
.TP
.B \-v
Say more.
.TP 12
.BR \-\-long\-option " " name
Takes a name.
.IP \(bu 2
bullet
.RS
.IP 1. 4
inner
.RE
.PP
Example:
.nf
  a = 1;
  if (a)  b();
.fi
See
.BR ls (1),
.UR https://example.org
the site
.UE .
)"),
            R"(FROB(1)

NAME
    frob - turn things

SYNOPSIS
    frob [-v] [file...]

THE DESCRIPTION
    The first line goes on — here.

  Details
    -v  Say more.

    --long-option name
                Takes a name.

    • bullet

      1.  inner

    Example:
      a = 1;
      if (a)  b();
    See ls(1), the site <https://example.org>.
)");
}

TEST(RoffTest, LongParagraphsAreFilledToEightyColumns) {
  std::string source = ".TH X 1\n.SH X\n";
  for (int i = 0; i < 60; ++i) source += "some words\n";
  const std::string text = RenderRoff(source);
  size_t lines = 0;
  for (size_t at = 0; at < text.size(); ++lines) {
    const size_t end = text.find('\n', at);
    EXPECT_LE(end - at, 80u);
    at = end + 1;
  }
  EXPECT_GE(lines, 9u);
  EXPECT_LE(lines, 13u);
}

TEST(RoffTest, MacrosStringsAndConditions) {
  EXPECT_EQ(
      RenderRoff(R"(.de Say
said \\$1 and \\$2
..
.ds who the page
.TH X 1
.if t printed
.if n on a terminal
.ie \n(.g .ds q '
.el .ds q `
.nr n 3
.if \nn>2 \{\
three
.B lines
\}
.if 'a'b' \{\
never
.if n neither
.\}
.Say "one thing" \*qanother\*q
\*[who] x
.ig
hidden
..
.als Also Say
.Also 1 2
)"),
      "X(1)\n    on a terminal three lines said one thing and 'another' the page x said 1 and\n    2\n");
}

TEST(RoffTest, EndOfADefinitionMayBeIndented) {
  EXPECT_EQ(RenderRoff(".TH X 1\n.if \\n[.g] \\{\\\n.  am URL\n.    ad l\n.  .\n.\\}\n.SH NAME\nkept\n"),
            "X(1)\n\nNAME\n    kept\n");
}

TEST(RoffTest, Tables) {
  EXPECT_EQ(RenderRoff(".TH X 7\n.SH T\n.TS\ntab(:);\nl l l.\n\\fBName\\fR:Size:Note\n_\na:1:first\n"
                       "long name:20:T{\nmany\nwords\nT}\n.TE\nafter\n"),
            R"(X(7)

T
    Name       Size  Note
    a          1     first
    long name  20    many words

    after
)");
}

// Long: a page and its text.
TEST(RoffTest, MdocPage) {
  EXPECT_EQ(RenderRoff(R"(.Dd May 1, 2024
.Dt FROB 8
.Os
.Sh NAME
.Nm frob
.Nd turn things
.Sh SYNOPSIS
.Nm
.Op Fl av
.Op Fl f Ar file
.Ar
.Sh DESCRIPTION
The
.Nm
utility, see
.Xr ls 1 ,
turns
.Dq things .
.Bl -tag -width indent
.It Fl a Ar name
All of
.Pa /etc/frob .
.It Fl Fl long Ns = Ns Ar x
Long.
.El
.Bl -bullet -compact
.It
one
.It
two
.El
.Bd -literal -offset indent
x  =  1
.Ed
.Oo
.Fl z
.Oc
.Sh EXIT STATUS
.Ex -std
)"),
            R"(FROB(8)

NAME
    frob - turn things

SYNOPSIS
    frob [-av] [-f file] file ...

DESCRIPTION
    The frob utility, see ls(1), turns “things”.

    -a name
        All of /etc/frob.

    --long=x
        Long.

    •   one
    •   two

        x  =  1

    [-z]

EXIT STATUS
    The frob utility exits 0 on success, and >0 if an error occurs.
)");
}

TEST(RoffTest, MdocFunctions) {
  EXPECT_EQ(RenderRoff(".Dd x\n.Dt F 3\n.Sh SYNOPSIS\n.In stdio.h\n.Ft int\n.Fn f \"int a\" \"char *b\"\n"
                       ".Fo g\n.Fa \"int x\"\n.Fa y\n.Fc\n"),
            "F(3)\n\nSYNOPSIS\n    #include <stdio.h>\n    int\n    f(int a, char *b)\n    g(int x, y);\n");
}

TEST(RoffTest, APageThatNamesAnotherIsEmpty) {
  EXPECT_EQ(RenderRoff(".so man1/other.1\n"), "");
}

TEST(RoffTest, MacrosThatCallThemselvesEnd) {
  const std::string text = RenderRoff(".de A\n.A\n.A\nx\n..\n.de B\n.B\n..\n.A\n.B\n.SH END\n");
  EXPECT_TRUE(IsValidUtf8(text));
}

// Sources made of the pieces that the renderer acts on, in any order.
TEST(RoffTest, AnySourceGivesValidText) {
  const std::vector<std::string> pieces = {
      ".TH A 1\n", ".Dd x\n", ".SH ",    ".TP\n", ".IP ",    ".RS\n",    ".RE\n", ".de X\n", "..\n",
      ".X a b\n",  "\\$1",    "\\*(",    "\\[",   "\\s",     "\\f",      "\\h'",  "\\(co",   "\"",
      "\n",        ".if ",    "\\{",     "\\}",   "'a'b'",   ".ie n ",   ".el ",  ".ds x ",  "\\*x",
      ".TS\n",     "T{\n",    "T}",      ".TE\n", "l l.\n",  ".Bl -tag", ".It ",  ".El\n",   ".Op Fl ",
      ".Oo ",      ".Oc ",    ".Bd ",    ".Ed\n", ".Fo f\n", ".Fc\n",    ".Nm ",  "é",       "word ",
      "\\c\n",     ".nr n ",  "\\nn",    "(1+",   "\\",      ".ig\n",    ".EQ\n", ".als X ", " \t",
      ".Sm off\n", ".Rs\n",   ".%A x\n", ".Re\n", "\\w'",    "\\o'",     "\\N'",  ".D1 ",    ".sp\n",
  };
  rc::check("valid UTF-8 for any mix of pieces", [&] {
    const auto chosen = *rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, pieces.size()));
    std::string source;
    for (const size_t i : chosen) source += pieces[i];
    RC_ASSERT(IsValidUtf8(RenderRoff(source)));
  });
  rc::check("no crash for any bytes", [](const std::string& bytes) { RenderRoff(bytes); });
}

}  // namespace
}  // namespace qwen25
