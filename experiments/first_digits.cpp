#include "slowsde/experiments/first_digits.hpp"

#include <string_view>

namespace slowsde {
namespace {

// One image of 64 pixels per line, row by row: 'a' is 0, 'q' is 16.
constexpr std::string_view pixels =
    "aafnjbaaaanpkpfaadpcaliaaemaaiiaafiaajiaaelabmhaacofkmaaaagnkaaa"
    "aaamnfaaaaalqjaaaadpqgaaahpqqcaaaabqqdaaaabqqgaaaabqqgaaaaalqkaa"
    "aaaepmaaaadqpoaaaainiqaaaabgplaaabinpbaaajqqfaaaadnqqlfaaaadlqja"
    "aahpnbaaaingpeaaacbnnaaaaacplbaaaaabmmbaaaaabkiaaaiefojaaahnnjaa"
    "aaablaaaaaahiaaaaabngccaaahpajiaafqkaqgaaepqnqbaaaadpkaaaaacqeaa"
    "aamkaaaaaaoqqoaaaanqpkbaaalqqhaaaaaehqhaaaaaeqjaaafemqeaaajqqkaa"
    "aaamnaaaaafqiaaaaanqdaaaaaonaaaaaapmhcaaaanqnqdaaahqlpiaaabjplda"
    "aahinqpbaahhelmaaaaainbaaeiippgaaclppeaaaaaqfaaaaajpbaaaaanfaaaa"
    "aajoibaaaamoomaaaajkapeaaadqmocaaaeqqcaaadqikncaabpbdqiaaalqplba"
    "aalmaaaaacqqqnaaadqmkoaaabqbmpaaaanqjpcaaaadajlaaaaajpeaaajmndaa"
    "aabjplaaaalqiogaacqkajjaabqeaiiaaeqeaiiaabqfbldaaammkkaaaabkndaa"
    "aaaaonbaaaafqqcaaaaoqmaaabkqqmaaadmoqjaaaaafqpaaaaaeqoaaaaabnqba"
    "aafmbaaaaapohaaaaanbmaaaackaoaaaaacaqbaaaaagpaaaaajqpjicaadlinme"
    "acjpojdaaenijqiaaaagopdaaaalocaaaaacplaaaaaacpeaabfgnqgaacmmnlaa"
    "aaaipbaaaabonbbaaakpdplaahqhbqiaajqnoqfaabkpqoaaaaabqkaaaaakpeaa"
    "afmnqqcaalqpieaaaiolbaaaaiqqoaaaabggqaaaaaafqdaaabfpnaaaaepqcaaa"
    "aaaipbaaaaamoaaaaadqhaaaaagqcaaaaahqqnfaaapqjjoaaadojcqcaaahpqla"
    "aabipkaaadnpooaaafkakmaaaadfpkcaaaqqqqmaabimoidaaaaknaaaaaaljaaa"
    "aakhnjaaaajkmpcaaaelklaaaabqkbaaaamneaaaaambmaaaabkcoaaaaalofaaa"
    "aagoeaaaaalqkaaaaaioqcaaaabmmlaaaaaaaldaaaaaaflaaabeehqcaahqqnlb"
    "aadnlhaaaalqqqcaaeqjbocaaeqaaqcaaaqbamiaaapjangaaajojobaaacmneaa"
    "aaacqqcaaaaeqqcaabemqmaaahqqqmaaaadkqoaaaaaiqmaaaaagqqcaaaacmpea"
    "aaiqfaaaabnlqaaaaakandaaaadbqbaaaaajmaaaaadpfaaaaaopiidaaahmmmnb"
    "abimpoeaadliimmaaaaacnhaaaacpmbaaaaanfaaaaaajnaaaahiopaaaaoplcaa"
    "aaaamcaaaaagobaaaaeqhiaaaanjaqgaagqklqaaaafknqaaaaaagqaaaaaamiaa"
    "aamiihaaadqqlhaaacobaaaaafofaaaaacpqjaaaaaacqcaaaaeiqeaaaalojaaa"
    "aabnodaaaaiqncaaacqqdaaaadqmbaaaafqofaaaadqqqqgaaboqqqmaaadmpoha"
    "aaaioocaaaagkplaaaaaaokaacilmqiaaiqqqqhaaaaalpbaaaajqhaaaaamnbaa"
    "aakleaaaaakpnnbaaailaoeaaaanpnaaablqqaaaabpdjkaaaaogpkaaaaiohbaa"
    "aajnhaaaaamqqcaaaamnqgaaaagqqoaaaaaacqdaaaaaajkaaadhmoqcaahmmmla"
    "aakoldaaaeqngobaaeqcalhaaiqaakfaaiqaaoeaaiqabqbaaeqblpaaaalqmdaa"
    "aacniaaaaagqqgaaaafpnlaaaaahqpaaaaaaaodaaaaaahlaaaadeeqcaacpnonc"
    "acnqqqlaafqkfebaagqhdaaaajqqqgaaadielpaaaaabmpaaaaenqgaaacqpiaaa"
    "agnfiibaaiqqqqgaagqjgeaaagqqpfaaaaefpmaaaaadqjaaabinpdaaaeqpdaaa"
    "aaafocaaaabnlaaaaafqcaaaaagpfaaaabpqplbaacnobmjaaaeqhnjaaaafqpda"
    "adpiigaaaeqqqncaadqjcaaaacqqpdaaaahgmjaaaaabokaaaafopcaaabpobaaa"
    "aagokcaaaappnpdaacqkanjaabqfamfaaaqdangaabpfgnbaaaqlokaaaahqlbaa"
    "aankbaaaafqohaaaaeqioaaaacoqqgaaaabejnbaaaaaangaaafifjoaaannpqna"
    "aahhnqeaaanngmhaaakeklbaaaiqkaaaadoqaaaaaiilfaaaaekjiaaaablqgaaa"
    "abjqnhaaahoekmaaagpjqlaaaajlhoaaaaaaapcaaaaaalgaadnifofaaajonkba";
constexpr std::string_view labels = "0123456789012345678901234567890955650989";

}  // namespace

LabelledImages first_digits() {
  LabelledImages images{.pixels = 64, .values = {}, .labels = {}};
  for (const char pixel : pixels) images.values.push_back(pixel - 'a');
  for (const char label : labels) images.labels.push_back(label - '0');
  return images;
}

}  // namespace slowsde
