#include "data/read/pod.h"

#include <rapidcheck.h>

#include "base/test_util.h"
#include "data/read/info.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

TEST(PodTest, FormattingCodes) {
  EXPECT_EQ(ExpandPodCodes("B<bold> and I<it> C<< $a->{x} > 1 >> F<file>"), "bold and it $a->{x} > 1 file");
  EXPECT_EQ(ExpandPodCodes("E<lt>E<gt> E<eacute> E<0x263A> E<233> E<unknown>"), "<> é ☺ é unknown");
  EXPECT_EQ(ExpandPodCodes("L<text|Some::Page> L<perlpod> L<page/section> L</\"here\"> L<https://x.org/a>"),
            "text perlpod \"section\" in page \"here\" https://x.org/a");
  EXPECT_EQ(ExpandPodCodes("B<nested I<inner C<deep>>>!X<index>Z<>"), "nested inner deep!");
  EXPECT_EQ(ExpandPodCodes("a < b, X < Y, C<unclosed"), "a < b, X < Y, unclosed");
}

TEST(PodTest, DocumentationAndCode) {
  const PodAndCode parts = SplitPod(R"(package Frob;
use strict;

=head1 NAME

Frob - turn
things

=head2 Use

=over 4

=item * one

=item B<two>

The second.

=back

=begin html

<b>not for readers</b>

=end html

    my $x  = 1;
    frob($x);

=cut

sub frob { return 1 }
1;
__END__
not code
=head1 AFTER

More.
)");
  EXPECT_EQ(parts.documentation, R"(NAME
    Frob - turn things

  Use
    *   one

    two The second.

        my $x  = 1;
        frob($x);

AFTER
    More.
)");
  EXPECT_EQ(parts.code, "package Frob;\nuse strict;\n\n\nsub frob { return 1 }\n1;\n");
}

TEST(PodTest, APodFileHasNoCode) {
  EXPECT_EQ(SplitPod("=head1 X\n\ntext\n").code, "");
  EXPECT_EQ(SplitPod("").documentation, "");
}

TEST(PodTest, AnySourceGivesValidText) {
  const std::vector<std::string> pieces = {"=head1 ",
                                           "=over\n",
                                           "=item * ",
                                           "=back\n\n",
                                           "=cut\n",
                                           "\n\n",
                                           "B<",
                                           "C<< ",
                                           " >>",
                                           ">",
                                           "E<",
                                           "0x41",
                                           "L<a|",
                                           "=begin x\n\n",
                                           "word ",
                                           "é",
                                           "    verbatim\n",
                                           "=end x\n\n",
                                           "__END__\n",
                                           "=encoding utf8\n\n"};
  rc::check("valid UTF-8 for any mix of pieces", [&] {
    const auto chosen = *rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, pieces.size()));
    std::string source;
    for (const size_t i : chosen) source += pieces[i];
    const PodAndCode parts = SplitPod(source);
    RC_ASSERT(IsValidUtf8(parts.documentation));
    RC_ASSERT(IsValidUtf8(parts.code));
  });
  rc::check("no crash for any bytes", [](const std::string& bytes) { SplitPod(bytes); });
}

TEST(InfoTest, MachineryGoes) {
  const std::string source =
      std::string(
          "This is frob.info.\n\n\x1F\nFile: frob.info,  Node: Top,  Next: Use\n\n1 Top\n***\n\ntext\n") +
      std::string("\0\b[index\0\b]\n* Menu:\n", 20) +
      "\x1F\nTag Table:\nNode: Top\x7F"
      "123\n\x1F\nEnd Tag Table\n";
  EXPECT_EQ(RenderInfo(source), "This is frob.info.\n\n\n\n1 Top\n***\n\ntext\n\n* Menu:\n");
}

}  // namespace
}  // namespace qwen25
