// SPDX-License-Identifier: Apache-2.0
#include "report/page/html.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace kvant::report {
namespace {

TEST(Html, TextIsEscapedAndStaysUtf8) {
  EXPECT_EQ(escaped("<b a=\"1\" c='2'>&"), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;");
  EXPECT_EQ(escaped("größe 漢字 \xF0\x9F\x99\x82"), "größe 漢字 \xF0\x9F\x99\x82");
  EXPECT_EQ(escaped(std::string_view("a\x01\0b\x7f", 5)), "a??b?");
  EXPECT_EQ(escaped("\xC3(\xA0\xE2\x82"), "?(???") << "cut and stray bytes of UTF-8";
}

TEST(Html, TableLeavesOutColumnsThatSayNothing) {
  HtmlTable table({"a", "b", "c"}, {Align::Left, Align::Right, Align::Right});
  EXPECT_TRUE(table.empty());
  table.add({"x", "", Cell("1", 0.25)});
  table.add({"<y>", "", "2"});
  const std::string html = table.html();
  EXPECT_EQ(html.find("<th class=\"right\">b</th>"), std::string::npos);
  EXPECT_NE(html.find("<td>&lt;y&gt;</td><td class=\"right\">2</td>"), std::string::npos) << html;
  EXPECT_NE(html.find("var(--bar) 25.0%"), std::string::npos) << html;
  EXPECT_THROW(table.add({"too", "few"}), Bug);
}

TEST(Html, DocumentFetchesNothingAndRunsNothing) {
  const std::string html = document("a < b", paragraph("x") + folded("more", heading(3, "y")));
  EXPECT_NE(html.find("<title>a &lt; b</title>"), std::string::npos);
  for (const char* forbidden : {"<script", "href=", "src=", "http", "url(", "@import"})
    EXPECT_EQ(html.find(forbidden), std::string::npos) << forbidden;
}

}  // namespace
}  // namespace kvant::report
